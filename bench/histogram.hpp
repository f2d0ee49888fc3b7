// Latencies in nanoseconds, kept to 1 part in 64: enough for percentiles, constant cost, no allocation while measuring.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

namespace millrace::bench {

class Histogram {
 public:
  void add(std::int64_t ns) {
    const auto value = static_cast<std::uint64_t>(std::max<std::int64_t>(ns, 0));
    ++counts_[bucket_of(value)];
    ++count_;
    max_ = std::max(max_, value);
  }
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] std::uint64_t max() const { return max_; }
  // The value that `share` (0 to 1) of all are at or below.
  [[nodiscard]] std::uint64_t percentile(double share) const {
    const auto wanted = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(count_)));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen >= wanted && seen > 0) return std::min(top_of(i), max_);
    }
    return max_;
  }

 private:
  static constexpr unsigned sub_bits = 6;

  static std::size_t bucket_of(std::uint64_t value) {
    if (value < (1u << sub_bits)) return value;
    const unsigned shift = static_cast<unsigned>(std::bit_width(value)) - sub_bits - 1;
    return ((std::size_t{shift} + 1) << sub_bits) + ((value >> shift) - (1u << sub_bits));
  }
  static std::uint64_t top_of(std::size_t bucket) {
    if (bucket < (2u << sub_bits)) return bucket;
    const std::size_t shift = (bucket >> sub_bits) - 1;
    return ((std::uint64_t{(bucket & ((1u << sub_bits) - 1)) + (1u << sub_bits)} + 1) << shift) - 1;
  }

  std::array<std::uint64_t, (64 - sub_bits + 1) << sub_bits> counts_{};
  std::uint64_t count_ = 0;
  std::uint64_t max_ = 0;
};

}  // namespace millrace::bench
