// What can be set of a gateway, with the defaults.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace millrace::gateway {

struct GatewayOptions {
  std::string address = "127.0.0.1";
  std::uint16_t port = 8080;  // 0: any free one, see Gateway::port()

  std::size_t sessions_max = 20'000;        // WebSocket sessions; further ones are answered 503
  std::size_t http_connections_max = 1024;  // beside the sessions; further ones are closed unanswered
  std::size_t http_streams_max = 128;       // ranges of events on their way; further ones are answered 503
  std::size_t subscriptions_max = 32;       // a session
  std::size_t session_replays_max = 4;      // likewise
  std::size_t request_size_max = 16 * 1024;
  std::size_t answers_max = 32;               // unread ones, before a session's requests are no longer read
  std::size_t message_size_max = 128 * 1024;  // events are gathered until a message reaches it
  std::size_t header_size_max = 8 * 1024;
  std::size_t body_size_max = 4 * 1024;

  std::size_t cache_bytes = 16 << 20;    // of each topic's latest events, JSON included
  std::size_t cache_events = 64 * 1024;  // likewise
  std::size_t feed_bytes_max = 8 << 20;  // on their way from the feeder's to the network's thread

  // Slow clients: how many offsets a subscription under `conflate` or `disconnect` may be behind, if it does not say.
  std::uint64_t queue = 16 * 1024;
  std::uint64_t queue_max = 1 << 20;         // the most that it may say
  std::size_t conflated_keys_max = 1 << 16;  // keys that one conflation tells apart; a range with more ends earlier

  unsigned replay_threads = 1;
  std::size_t replays_max = 256;  // messages read from the log that wait for their sessions' sockets

  std::chrono::nanoseconds heartbeat{1'000'000'000};
  std::chrono::nanoseconds client_timeout{};               // without a message; told to clients. 0: three heartbeats
  std::chrono::nanoseconds write_timeout{30'000'000'000};  // of one message, then the session is cut off
  std::chrono::nanoseconds idle_timeout{60'000'000'000};   // of a session without a subscription
  std::chrono::nanoseconds http_timeout{10'000'000'000};   // of one request, or between two
  int send_buffer = 0;                                     // SO_SNDBUF of a connection; 0: the system's

  [[nodiscard]] std::chrono::nanoseconds client_timeout_told() const {
    return client_timeout.count() > 0 ? client_timeout : 3 * heartbeat;
  }
};

}  // namespace millrace::gateway
