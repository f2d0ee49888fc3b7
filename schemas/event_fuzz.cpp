// Takes any bytes as an event of every type, the built-in ones and a user's: what a verifier lets through is read to
// its last field within bounds, also by the accessors that flatc generated; and an event made of its JSON shows the
// same JSON from then on.
#include <array>
#include <cstdint>

#include "schemas/families.hpp"
#include "schemas/testing/hostile_event.hpp"

namespace millrace::schemas {
namespace {

template <class Root>
void must_be_sound(const EventType& type, std::span<const std::byte> payload) {
  if (type.id() != Family<Root>::id) return;
  flatbuffers::Verifier verifier(reinterpret_cast<const std::uint8_t*>(payload.data()), payload.size());
  MILLRACE_ASSERT(verifier.VerifyBuffer<Root>(nullptr), "what is let through is sound to generated accessors");
}

void run(const EventType& type, std::span<const std::byte> payload) {
  if (!type.verify(payload)) return;
  must_be_sound<TradeEvent>(type, payload);
  must_be_sound<AccountEvent>(type, payload);
  must_be_sound<MarketL2>(type, payload);
  must_be_sound<OrderEvent>(type, payload);
  must_be_sound<HealthEvent>(type, payload);
  must_be_sound<OrderCommand>(type, payload);
  must_be_sound<RiskAlert>(type, payload);
  const std::string json = testing::read_all(type, payload);
  const auto again = type.from_json(json);
  if (!again) return;  // numbers and texts that JSON shows but an event cannot be made of, such as NaN
  MILLRACE_ASSERT(type.verify(*again), "what is made of JSON is sound");
  const std::string shown = testing::read_all(type, *again);  // texts that were left out are empty ones now
  const auto third = type.from_json(shown);
  MILLRACE_ASSERT(third && type.to_json(*third) == shown, "and its JSON is taken back and shown the same");
}

}  // namespace
}  // namespace millrace::schemas

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = millrace::schemas::testing::exact({data, size});
  for (const auto* type : millrace::schemas::testing::all_types()) millrace::schemas::run(*type, bytes);
  return 0;
}
