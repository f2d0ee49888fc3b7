#include "subscribers/historical/pacer.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <string>

namespace millrace::historical {
namespace {

constexpr std::int64_t thousand = 1'000;
constexpr std::int64_t thousandths_max = 1'000'000 * thousand;

// value * by / over, rounded down in magnitude, without an intermediate overflow; a result beyond is the limit.
std::int64_t scaled(std::int64_t value, std::int64_t by, std::int64_t over) {
  const std::int64_t whole = value / over;
  const std::int64_t rest = value % over * by / over;  // both factors are at most 10^9
  std::int64_t result = 0;
  const std::int64_t limit =
      value < 0 ? std::numeric_limits<std::int64_t>::min() / 4 : std::numeric_limits<std::int64_t>::max() / 4;
  if (__builtin_mul_overflow(whole, by, &result) || __builtin_add_overflow(result, rest, &result)) return limit;
  return value < 0 ? std::max(result, limit) : std::min(result, limit);
}

std::optional<std::int64_t> parse_thousandths(std::string_view text) {
  std::int64_t whole = 0;
  const auto [point, error] = std::from_chars(text.data(), text.data() + text.size(), whole);
  if (error != std::errc() || text.front() == '-' || whole > thousandths_max / thousand) return std::nullopt;
  std::int64_t value = whole * thousand;
  std::string_view decimals(point, static_cast<std::size_t>(text.data() + text.size() - point));
  if (decimals.empty()) return value;
  decimals.remove_prefix(1);
  if (*point != '.' || decimals.empty() || decimals.size() > 3) return std::nullopt;
  std::int64_t weight = thousand;
  for (const char digit : decimals) {
    if (digit < '0' || digit > '9') return std::nullopt;
    weight /= 10;
    value += (digit - '0') * weight;
  }
  return value;
}

}  // namespace

Result<Speed> parse_speed(std::string_view text) {
  if (text == "max") return as_fast_as_possible;
  std::string_view number = text;
  if (number.ends_with('x')) number.remove_suffix(1);
  const auto thousandths = number.empty() ? std::nullopt : parse_thousandths(number);
  if (thousandths && *thousandths > 0 && *thousandths <= thousandths_max) return Speed{*thousandths};
  return fail(ErrorCode::invalid_argument, "the speed '" + std::string(text) +
                                               "' is not max, or a factor from 0.001 to 1000000 such as 1, 10 or 0.5");
}

MonotonicTime Pacer::due(WallTime recorded, MonotonicTime now) {
  if (speed_ == as_fast_as_possible) return now;
  if (!tied_) tied_ = {recorded, now};
  return tied_->at +
         std::chrono::nanoseconds(scaled((recorded - tied_->recorded).count(), thousand, speed_.thousandths));
}

std::optional<WallTime> Pacer::recorded(MonotonicTime now, std::optional<WallTime> head) const {
  if (!tied_ || speed_ == as_fast_as_possible) return std::nullopt;
  const WallTime at =
      tied_->recorded + std::chrono::nanoseconds(scaled((now - tied_->at).count(), speed_.thousandths, thousand));
  return head ? std::min(at, *head) : at;
}

void Pacer::change(Speed speed, MonotonicTime now, std::optional<WallTime> head) {
  const auto at = recorded(now, head);
  tied_.reset();
  if (at) tied_ = {*at, now};
  speed_ = speed;
}

void Pacer::pause(MonotonicTime now, std::optional<WallTime> head) {
  stands_at_ = recorded(now, head);
  tied_.reset();
}

void Pacer::resume(MonotonicTime now) {
  if (stands_at_) tied_ = {*stands_at_, now};
  stands_at_.reset();
}

}  // namespace millrace::historical
