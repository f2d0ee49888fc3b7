// Binance, spot and USD-M futures, as recorded raw: lines of "local_ns json", the JSON being a combined-stream message
// (depthUpdate, bookTicker, trade) or the answer of the REST depth snapshot.
#pragma once

#include <memory>
#include <string>

#include "publishers/market/feed.hpp"

namespace millrace::market {

// All prices and quantities come at this scale, the finest that the venue uses.
inline constexpr Scale kBinanceScale{8, 8};

// A snapshot names no instrument: it is taken to be the one of the stream lines before it.
[[nodiscard]] Result<std::unique_ptr<Feed>> open_binance(std::string path);

}  // namespace millrace::market
