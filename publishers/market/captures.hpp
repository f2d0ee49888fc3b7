// Raw WebSocket captures of Coinbase, Kraken (version 1) and OKX (version 5): lines of "unix_s: json" are messages
// received, lines that begin with "wss" are what the client sent. Only books and trades become events.
#pragma once

#include <memory>
#include <string>

#include "publishers/market/feed.hpp"

namespace millrace::market {

// Kraken prints each pair at a scale of its own, which its checksum rests on: there the scale is read off the snapshot.
inline constexpr Scale kCaptureScale{8, 8};

// Levels a side that Kraken keeps up to date in the recorded subscription.
inline constexpr std::size_t kKrakenDepth = 1'000;

// A last_match, the trade before the subscription, is marked historical.
[[nodiscard]] Result<std::unique_ptr<Feed>> open_coinbase(std::string path);
[[nodiscard]] Result<std::unique_ptr<Feed>> open_kraken(std::string path);
[[nodiscard]] Result<std::unique_ptr<Feed>> open_okx(std::string path);

}  // namespace millrace::market
