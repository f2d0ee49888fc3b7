#include "bus/base/rfc3339.hpp"

#include <charconv>
#include <chrono>

namespace millrace {

namespace {

// Writes `value` right-aligned into `width` characters, zeros before it.
void put_digits(char* out, std::uint32_t value, int width) {
  for (int i = width - 1; i >= 0; --i, value /= 10) out[i] = static_cast<char>('0' + value % 10);
}

// Takes exactly `width` digits off the front.
std::optional<int> take(std::string_view& text, std::size_t width) {
  if (text.size() < width) return std::nullopt;
  int value = 0;
  for (const char c : text.substr(0, width)) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  text.remove_prefix(width);
  return value;
}

bool take_char(std::string_view& text, std::string_view any_of) {
  if (text.empty() || any_of.find(text.front()) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

std::optional<std::int64_t> take_fraction(std::string_view& text) {
  if (!take_char(text, ".")) return 0;
  std::int64_t ns = 0;
  std::size_t digits = 0;
  while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
    if (++digits > 9) return std::nullopt;
    ns = ns * 10 + (text.front() - '0');
    text.remove_prefix(1);
  }
  if (digits == 0) return std::nullopt;
  for (; digits < 9; ++digits) ns *= 10;
  return ns;
}

// Seconds east of UTC.
std::optional<std::int64_t> take_zone(std::string_view& text) {
  if (take_char(text, "Zz")) return 0;
  const bool west = !text.empty() && text.front() == '-';
  if (!take_char(text, "+-")) return std::nullopt;
  const auto hours = take(text, 2);
  if (!hours || *hours > 23 || !take_char(text, ":")) return std::nullopt;
  const auto minutes = take(text, 2);
  if (!minutes || *minutes > 59) return std::nullopt;
  const std::int64_t seconds = *hours * 3600 + *minutes * 60;
  return west ? -seconds : seconds;
}

}  // namespace

void append_rfc3339(WallTime time, std::string& out) {
  using std::chrono::days, std::chrono::floor, std::chrono::hh_mm_ss, std::chrono::nanoseconds, std::chrono::sys_time;
  using std::chrono::year_month_day;
  const sys_time<nanoseconds> point{nanoseconds(time.ns)};
  const auto day = floor<days>(point);
  const year_month_day date(day);
  const hh_mm_ss<nanoseconds> clock(point - day);
  const std::size_t begin = out.size();
  out.append("0000-00-00T00:00:00.000000000Z");
  char* const at = out.data() + begin;
  put_digits(at, static_cast<std::uint32_t>(static_cast<int>(date.year())), 4);
  put_digits(at + 5, static_cast<unsigned>(date.month()), 2);
  put_digits(at + 8, static_cast<unsigned>(date.day()), 2);
  put_digits(at + 11, static_cast<std::uint32_t>(clock.hours().count()), 2);
  put_digits(at + 14, static_cast<std::uint32_t>(clock.minutes().count()), 2);
  put_digits(at + 17, static_cast<std::uint32_t>(clock.seconds().count()), 2);
  put_digits(at + 20, static_cast<std::uint32_t>(clock.subseconds().count()), 9);
}

std::optional<WallTime> parse_time(std::string_view text) {
  std::int64_t ns = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ns);
  if (error == std::errc{} && end == text.data() + text.size() && ns >= 0) return WallTime{ns};

  const auto year = take(text, 4);
  if (!year || *year < 1970 || *year > 2261 || !take_char(text, "-")) return std::nullopt;
  const auto month = take(text, 2);
  if (!month || !take_char(text, "-")) return std::nullopt;
  const auto day = take(text, 2);
  if (!day || !take_char(text, "Tt ")) return std::nullopt;
  const auto hour = take(text, 2);
  if (!hour || *hour > 23 || !take_char(text, ":")) return std::nullopt;
  const auto minute = take(text, 2);
  if (!minute || *minute > 59 || !take_char(text, ":")) return std::nullopt;
  const auto second = take(text, 2);
  if (!second || *second > 59) return std::nullopt;
  const auto fraction = take_fraction(text);
  if (!fraction) return std::nullopt;
  const auto zone = take_zone(text);
  if (!zone || !text.empty()) return std::nullopt;

  const std::chrono::year_month_day date{std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  const std::int64_t seconds = days * 86'400 + *hour * 3600 + *minute * 60 + *second - *zone;
  return WallTime{seconds * 1'000'000'000 + *fraction};
}

}  // namespace millrace
