// Takes any bytes as a user's binary schema, as a log's folder may hold it: it is refused with a reason, or every event
// that it lets through is read within bounds, and the empty event can be made, shown and taken back.
//
// Input: two bytes with the size of an event, the event, the schema.
#include <algorithm>
#include <cstdint>

#include "schemas/families.hpp"
#include "schemas/testing/hostile_event.hpp"

namespace millrace::schemas {
namespace {

void run(std::span<const std::uint8_t> input) {
  if (input.size() < 2) return;
  const std::size_t size = std::min<std::size_t>(input[0] | input[1] << 8, input.size() - 2);
  const auto event = testing::exact(input.subspan(2, size));
  const auto bfbs = testing::exact(input.subspan(2 + size));
  Registry registry;
  const auto added = registry.add_bfbs("m", first_user_event_type, bfbs, "", "");
  if (!added) {
    MILLRACE_ASSERT(!added.error().message.empty(), "a refusal has a reason");
    return;
  }
  const EventType& type = **added;
  if (type.verify(event)) (void)testing::read_all(type, event);
  const auto empty = type.from_json("{}");  // refused where the schema requires a field
  if (!empty) return;
  MILLRACE_ASSERT(type.verify(*empty), "what is made of JSON is sound");
  (void)testing::read_all(type, *empty);
}

}  // namespace
}  // namespace millrace::schemas

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  millrace::schemas::run({data, size});
  return 0;
}
