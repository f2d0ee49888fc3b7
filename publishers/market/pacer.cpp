#include "publishers/market/pacer.hpp"

#include <algorithm>
#include <string>

#include "publishers/market/decimal.hpp"

namespace millrace::market {

Result<Pace> parse_pace(std::string_view text) {
  if (text == "flat_out") return kFlatOut;
  if (text == "recorded") return kAsRecorded;
  constexpr std::int64_t thousandths_max = 1'000'000'000;
  if (text.ends_with('x')) {
    const auto thousandths = parse_decimal(text.substr(0, text.size() - 1), 3);
    if (thousandths && *thousandths > 0 && *thousandths <= thousandths_max) return Pace{*thousandths};
  }
  return fail(ErrorCode::invalid_argument,
              "the pace '" + std::string(text) + "' is not flat_out, recorded, or a factor like 10x or 0.5x");
}

MonotonicTime Pacer::due(WallTime recorded, MonotonicTime now) {
  if (pace_ == kFlatOut) return now;
  if (!start_) start_ = {recorded, now};
  const auto after = (recorded - start_->recorded).count() * 1'000 / pace_.thousandths;
  latest_ = std::max(latest_, start_->at + std::chrono::nanoseconds(after));
  return latest_;
}

}  // namespace millrace::market
