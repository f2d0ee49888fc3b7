// Takes any text as an event in JSON of every type, as `millrace publish` takes its lines: it is refused with a reason,
// or becomes an event that its verifier lets through, and that event's JSON becomes the same event again.
#include <cstdint>

#include "schemas/families.hpp"
#include "schemas/testing/hostile_event.hpp"

namespace millrace::schemas {
namespace {

void run(const EventType& type, std::string_view text) {
  const auto event = type.from_json(text);
  if (!event) {
    MILLRACE_ASSERT(!event.error().message.empty(), "a refusal has a reason");
    return;
  }
  MILLRACE_ASSERT(type.verify(*event), "what is made of JSON is sound");
  const std::string json = testing::read_all(type, *event);
  const auto again = type.from_json(json);
  MILLRACE_ASSERT(again, "what is shown is taken back");
  MILLRACE_ASSERT(type.to_json(*again) == json, "and shows the same");
}

}  // namespace
}  // namespace millrace::schemas

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  for (const auto* type : millrace::schemas::testing::all_types()) millrace::schemas::run(*type, text);
  return 0;
}
