// The configuration of millraced: TOML, every key checked, all errors reported with line and key. README.md has the
// table of keys. Without a file the defaults serve.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bus/base/frame.hpp"
#include "bus/base/limits.hpp"
#include "bus/base/result.hpp"
#include "bus/daemon/rights.hpp"
#include "bus/ring/pages.hpp"
#include "wal/writer.hpp"

namespace millrace::daemon {

struct TopicConfig {
  std::string name;
  std::size_t ring_bytes = 10'000'000;  // of each publisher's ring
  std::size_t page_bytes = limits::page_size;
  std::uint32_t publishers = 1;
  std::uint32_t readers = limits::readers;
  std::uint32_t grant_ahead = limits::grant_ahead;
  std::uint32_t unsynced_max = limits::unsynced_max;
  ring::StallPolicy stall_policy = ring::StallPolicy::block;
  wal::WriterOptions log;
  std::uint64_t retention_bytes = 1ull << 30;  // 0: no limit
  std::chrono::nanoseconds retention_age{0};   // 0: no limit
  std::chrono::nanoseconds compress_after{0};  // 0: never
  Writers writers;
  std::string type;    // an event family, or the name of a user's own
  std::string schema;  // path of a user's .fbs or .bfbs; empty: a built-in family
  std::string root;
  std::string key_field;
  EventTypeId event_type{};
};

struct ThreadConfig {
  std::string idle = "back_off";
  std::optional<unsigned> cpu;
};

struct GatewayConfig {
  bool enabled = true;
  std::string program;  // empty: millrace-gateway beside this program
  std::string listen = "127.0.0.1:8080";
};

struct Config {
  std::string runtime_dir;
  std::string log_dir;
  ThreadConfig control;
  ThreadConfig disk;
  std::chrono::nanoseconds heartbeat_interval = std::chrono::seconds(1);  // one I/O that takes longer is a stall
  std::chrono::nanoseconds heartbeat_timeout = std::chrono::seconds(3);   // without progress: degraded; twice: failed
  std::uint64_t lag_limit = 1'000'000;  // events that a subscription may be behind before it lags; 0: any number
  GatewayConfig gateway;
  std::vector<TopicConfig> topics;

  [[nodiscard]] std::string socket_path() const { return runtime_dir + "/control.sock"; }
  [[nodiscard]] std::string manifest_path() const { return runtime_dir + "/manifest"; }
  [[nodiscard]] std::vector<std::string> gateway_command() const;
};

[[nodiscard]] Config default_config();
// Topics named in the file replace the defaults of the same name and stand beside the others; `default_topics = false`
// leaves the others out. Errors: not_found, invalid_argument with a line for everything that is wrong.
[[nodiscard]] Result<Config> load_config(const std::string& path);
// `origin` stands in the messages.
[[nodiscard]] Result<Config> parse_config(std::string_view text, const std::string& origin);

// Pages that the core keeps granted: at least grant_ahead, and a third of the ring where it has them to spare. A core
// that shares its processors with spinning publishers and readers may not run for milliseconds.
[[nodiscard]] std::uint32_t granted_ahead(const TopicConfig& topic);

}  // namespace millrace::daemon
