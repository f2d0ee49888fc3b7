// The checks behind oracles.hpp. Each reads its expectations from the recording, by itself.
#pragma once

#include <memory>
#include <string>

#include "publishers/market/oracles.hpp"

namespace millrace::market {

// The book of row k-1 and message k give the book of row k.
[[nodiscard]] Result<std::unique_ptr<OracleCheck>> make_lobster_check(std::string name, const std::string& messages);
// No update is missing, and best bid and ask equal those of the last ticker up to the same update number.
[[nodiscard]] Result<std::unique_ptr<OracleCheck>> make_binance_check(std::string name, const std::string& path);
// The ten levels have the checksum that the venue sent.
[[nodiscard]] Result<std::unique_ptr<OracleCheck>> make_kraken_check(std::string name, const std::string& path);
// The ten levels are those of a book whose 25 levels have the checksum that the venue sent.
[[nodiscard]] Result<std::unique_ptr<OracleCheck>> make_okx_check(std::string name, const std::string& path);
// Trade numbers go up by one, from that of the trade before the capture.
[[nodiscard]] Result<std::unique_ptr<OracleCheck>> make_coinbase_check(std::string name, const std::string& path);

}  // namespace millrace::market
