#include "tools/millrace/selection.hpp"

#include <charconv>
#include <cstdint>

#include "bus/base/rfc3339.hpp"

namespace millrace::cli {
namespace {

// An offset beyond takes 150 years at 20 M events/s; nanoseconds below lie before 1973-03-03.
constexpr std::uint64_t first_time_ns = 100'000'000'000'000'000;

}  // namespace

Result<Start> parse_start(std::string_view text) {
  if (text == "earliest") return StartEarliest{};
  if (text == "latest") return StartLatest{};
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size() && number < first_time_ns) return Offset(number);
  if (const auto time = parse_time(text)) return *time;
  return fail(ErrorCode::invalid_argument, "'" + std::string(text) +
                                               "' is no place to begin; give earliest, latest, an offset, or a time "
                                               "such as 2026-03-01T09:30:00Z");
}

Result<historical::To> parse_end(std::string_view text) {
  if (text == "end") return historical::ToEnd{};
  if (text != "earliest" && text != "latest") {
    if (const auto start = parse_start(text)) {
      if (const auto* offset = std::get_if<Offset>(&*start)) return *offset;
      if (const auto* time = std::get_if<WallTime>(&*start)) return *time;
    }
  }
  return fail(ErrorCode::invalid_argument, "'" + std::string(text) +
                                               "' is no place to end; give end, an offset, or a time such as "
                                               "2026-03-01T09:30:00Z");
}

Result<Level> parse_level(std::string_view text) {
  for (const Level level : {Level::live, Level::recorded, Level::synced}) {
    if (text == to_string(level)) return level;
  }
  return fail(ErrorCode::invalid_argument,
              "there is no level '" + std::string(text) + "'; give live, recorded or synced");
}

}  // namespace millrace::cli
