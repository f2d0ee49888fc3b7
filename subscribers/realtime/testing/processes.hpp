// A gateway as it runs, for tests: its process beside a real core, somebody who publishes, and a client that checks
// what every client may rely on. Waits are on conditions.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <boost/json.hpp>
#include <cstring>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "bus/base/idle.hpp"
#include "bus/bus.hpp"
#include "bus/daemon/test/processes.hpp"
#include "subscribers/realtime/client/ws_client.hpp"
#include "subscribers/realtime/net.hpp"
#include "subscribers/realtime/protocol.hpp"

namespace millrace::gateway::testing {

using client::WsClient;
using millrace::testing::eventually;
using millrace::testing::Process;
using millrace::testing::TestCore;
namespace json = boost::json;

inline std::unique_ptr<Bus> connect(const TestCore& core, std::chrono::nanoseconds timeout = std::chrono::seconds(10)) {
  auto bus = Bus::connect({.name = "test", .socket = core.socket(), .timeout = timeout});
  EXPECT_TRUE(bus) << bus.error().message;
  return std::move(*bus);
}

inline std::uint64_t number(const json::value& value) {
  return value.to_number<std::uint64_t>();
}

// The first offset of the topic that is not recorded yet.
inline std::uint64_t recorded_end(Bus& bus, std::string_view topic = "trade_events") {
  if (const auto report = bus.status()) {
    for (const auto& status : report->topics) {
      if (status->name == topic) return status->recorded_end;
    }
  }
  ADD_FAILURE() << "the core tells no end of " << topic;
  return 0;
}

// A port of this host that nobody listens on just now.
inline std::uint16_t free_port() {
  asio::io_context io;
  return asio::ip::tcp::acceptor(io, {asio::ip::address_v4::loopback(), 0}).local_endpoint().port();
}

// Writes the configuration of a core, not started yet, that starts the gateway itself.
inline void with_gateway(const TestCore& core, std::uint16_t port) {
  std::ofstream(core.config_file()) << "[core]\nruntime_dir = \"" << core.folder() << "/run\"\nlog_dir = \""
                                    << core.folder() << "/log\"\n[gateway]\nlisten = \"127.0.0.1:" << port << "\"\n";
}

// Of the gateway that follows the core's topics now; 0 if there is none.
inline pid_t gateway_pid(Bus& bus) {
  const auto report = bus.status();
  if (!report) return 0;
  for (const auto& subscriber : report->topics.front()->subscribers) {
    if (subscriber->name == "millrace-gateway") return subscriber->pid;
  }
  return 0;
}

// millrace-gateway started by hand beside `core`, on a port of its own.
class LoneGateway {
 public:
  explicit LoneGateway(const TestCore& core, const std::vector<std::string>& options = {})
      : process_(command(core, options)) {
    constexpr std::string_view sign = "listening on 127.0.0.1:";
    const bool listens = eventually([&] {
      const std::string said = process_.errors();
      const std::size_t at = said.find(sign);
      if (at == std::string::npos || said.find('\n', at) == std::string::npos) return false;
      port_ = static_cast<std::uint16_t>(std::stoul(said.substr(at + sign.size())));
      return true;
    });
    EXPECT_TRUE(listens) << process_.errors();
  }
  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] Process& process() { return process_; }

 private:
  static std::vector<std::string> command(const TestCore& core, const std::vector<std::string>& options) {
    std::vector<std::string> words{millrace::testing::program("millrace-gateway"), "--socket", core.socket(),
                                   "--listen", "127.0.0.1:0"};
    words.insert(words.end(), options.begin(), options.end());
    return words;
  }
  Process process_;
  std::uint16_t port_ = 0;
};

inline json::value get(std::uint16_t port, std::string_view target) {
  const auto reply = client::http_request(port, "GET", target);
  EXPECT_EQ(reply.status, 200u) << target << ": " << reply.body;
  return reply.status == 200 ? json::parse(reply.body) : json::value();
}

// What /v1/topics says of it.
inline json::value topic_info(std::uint16_t port, std::string_view name = "trade_events") {
  const auto topics = get(port, "/v1/topics");
  for (const auto& topic : topics.as_array()) {
    if (topic.at("name") == json::string_view(name.data(), name.size())) return topic;
  }
  ADD_FAILURE() << "no topic " << name;
  return nullptr;
}

// Waits until /health answers `status`, with a reason that holds `reason`.
inline bool becomes(std::uint16_t port, unsigned status, std::string_view reason = "") {
  return eventually([&] {
    const auto reply = client::http_request(port, "GET", "/health");
    return reply.status == status && reply.body.find(reason) != std::string::npos;
  });
}

inline std::uint64_t counter(std::uint16_t port, std::string_view name) {
  const std::string text = client::http_request(port, "GET", "/metrics").body;
  const std::string line = "\nmillrace_gateway_" + std::string(name) + "_total ";
  const std::size_t at = text.find(line);
  EXPECT_NE(at, std::string::npos) << name;
  return at == std::string::npos ? 0 : std::stoull(text.substr(at + line.size()));
}

// Publishes trades whose buy_order_id is their sequence, until it is told to stop; waits out a core that is away.
// Every other one is of MILL, the rest of RACE.
class Feed {
 public:
  // `burst`: trades between two short rests.
  Feed(Bus& bus, const std::string& name, std::uint64_t burst)
      : publisher_(std::move(*bus.publisher("trade_events", name))), burst_(burst), thread_([this] { run(); }) {}
  ~Feed() { stop(); }
  Feed(const Feed&) = delete;
  Feed& operator=(const Feed&) = delete;

  // Waits until all that was published is recorded.
  void stop() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
  }
  [[nodiscard]] std::uint64_t published() const { return published_; }

 private:
  void run() {
    BackOffIdle rest({.spins = 0,
                      .yields = 0,
                      .min_sleep = std::chrono::microseconds(200),
                      .max_sleep = std::chrono::microseconds(200)});
    while (!stopping_) {
      for (std::uint64_t i = 0; i < burst_ && one(); ++i) ++published_;
      rest.idle(0);
    }
    while (publisher_.recorded_sequence().next() < publisher_.next_sequence()) {
      publisher_.idle();
      rest.idle(0);
    }
  }
  bool one() {
    const std::uint64_t sequence = publisher_.next_sequence().value();
    return bool(publisher_.publish<schemas::TradeEvent>([&](schemas::TradeEvent& trade) {
      trade.mutate_buy_order_id(sequence);
      schemas::set_text(trade.mutable_instrument(), sequence % 2 == 0 ? "MILL" : "RACE");
    }));
  }

  Publisher publisher_;
  std::uint64_t burst_;
  std::atomic<bool> stopping_{false};
  std::atomic<std::uint64_t> published_{0};
  std::thread thread_;
};

struct Received {
  std::uint64_t offset;
  json::value json;               // in that format
  protocol::BinaryEntry entry{};  // in the other
  std::string frame{};            // likewise, 8-byte aligned
};

// What a subscribe request says.
struct Wanted {
  std::string topic = "trade_events";
  std::string start = R"("live")";
  std::string format = "json";
  std::string filter{};
};

// One subscription as a careful client keeps it: what comes has neither gap nor duplicate, and when the connection ends
// it resumes from its position.
class Stream {
 public:
  using OnEvent = std::function<void(const Received&)>;

  Stream(
      std::uint16_t port, Wanted wanted, OnEvent on_event = [](const Received&) {})
      : port_(port), wanted_(std::move(wanted)), on_event_(std::move(on_event)), client_(port) {
    EXPECT_TRUE(client_->connected());
    const json::value answer = subscribe(wanted_.start);
    if (answer.is_null()) return;
    first_ = next_ = number(answer.at("first_offset"));
  }

  // Where the gateway said that it begins, and the first offset not accounted for yet.
  [[nodiscard]] std::uint64_t first() const { return first_; }
  [[nodiscard]] std::uint64_t next() const { return next_; }
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] std::uint64_t resumed() const { return resumed_; }
  [[nodiscard]] std::uint64_t heartbeats() const { return heartbeats_; }

  // Reads on until `done`. False if the subscription is at its end, or what came was wrong.
  bool until(const std::function<bool()>& done) {
    while (!done()) {
      if (!one() || ::testing::Test::HasFailure()) return false;
    }
    return true;
  }
  bool to(std::uint64_t end) {
    return until([&] { return next_ >= end; });
  }
  [[nodiscard]] std::uint64_t run() const { return run_; }
  // The next message, whatever it is.
  bool one() {
    const auto message = client_->receive();
    if (!message) return resume();
    return client_->last_was_binary() ? take_binary(*message) : take(json::parse(*message));
  }

 private:
  json::value subscribe(const std::string& start) {
    client_->send(R"({"op":"subscribe","topic":")" + wanted_.topic + R"(","start":)" + start + R"(,"format":")" +
                  wanted_.format + '"' + (wanted_.filter.empty() ? "" : ",\"filter\":" + wanted_.filter) + '}');
    const auto message = client_->receive();
    json::value answer = message ? json::parse(*message) : json::value();
    if (!message || answer.at("type") != "subscribed") {
      ADD_FAILURE() << "subscribing at " << start << ": " << message.value_or("the connection ended");
      return nullptr;
    }
    log_id_ = answer.at("log_id").as_string().c_str();
    run_ = number(answer.at("run"));
    return answer;
  }

  bool resume() {
    ++resumed_;
    const bool connected = eventually([&] { return client_.emplace(port_).connected(); });
    EXPECT_TRUE(connected) << "the gateway comes back";
    if (!connected) return false;
    const json::value answer = subscribe("{\"offset\":" + std::to_string(next_) + ",\"log_id\":\"" + log_id_ +
                                         "\",\"run\":" + std::to_string(run_) + '}');
    if (answer.is_null()) return false;
    EXPECT_EQ(number(answer.at("first_offset")), next_) << "it resumes where it stood";
    return true;
  }

  bool take(const json::value& message) {
    const json::value& type = message.at("type");
    if (type == "heartbeat") {
      ++heartbeats_;
      // Without a filter nothing is accounted for but by an event.
      return wanted_.filter.empty() ? same(number(message.at("next_offset")), next_, "a heartbeat") : true;
    }
    if (type == "run") {
      run_ = number(message.at("run"));
      return true;
    }
    if (type != "events") {
      ADD_FAILURE() << json::serialize(message);
      return false;
    }
    if (!enter(number(message.at("first_offset")))) return false;
    for (const json::value& event : message.at("events").as_array()) {
      if (!event_of({number(event.at("offset")), event})) return false;
    }
    return leave(number(message.at("next_offset")), number(message.at("count")));
  }

  bool take_binary(const std::string& message) {
    protocol::BinaryHeader header{};
    std::memcpy(&header, message.data(), sizeof header);
    if (!same(header.magic, protocol::binary_magic, "the magic") || !enter(header.first_offset)) return false;
    std::size_t at = header.header_size;
    while (at < message.size()) {
      Received event{};
      std::memcpy(&event.entry, message.data() + at, sizeof event.entry);
      at += header.entry_header_size;
      event.offset = event.entry.offset;
      event.frame = message.substr(at, event.entry.frame_size);
      at += event.entry.frame_size;
      if (!event_of(event)) return false;
    }
    return leave(header.next_offset, header.count);
  }

  bool enter(std::uint64_t first) {
    in_message_ = 0;
    if (wanted_.filter.empty()) return same(first, next_, "a message's first offset");
    EXPECT_GE(first, next_);
    return first >= next_;
  }
  bool event_of(const Received& event) {
    if (wanted_.filter.empty() && !same(event.offset, next_, "an event's offset")) return false;
    EXPECT_GE(event.offset, next_) << "no event comes twice";
    if (event.offset < next_) return false;
    next_ = event.offset + 1;
    ++count_;
    ++in_message_;
    on_event_(event);
    return true;
  }
  bool leave(std::uint64_t next, std::uint64_t count) {
    EXPECT_GE(next, next_);
    if (wanted_.filter.empty() && !same(next, next_, "a message's next offset")) return false;
    next_ = next;
    return same(in_message_, count, "a message's count");
  }
  static bool same(std::uint64_t is, std::uint64_t wanted, const char* what) {
    EXPECT_EQ(is, wanted) << what;
    return is == wanted;
  }

  std::uint16_t port_;
  Wanted wanted_;
  OnEvent on_event_;
  std::optional<WsClient> client_;
  std::string log_id_;
  std::uint64_t run_ = 0;
  std::uint64_t first_ = 0;
  std::uint64_t next_ = 0;
  std::uint64_t count_ = 0;
  std::uint64_t in_message_ = 0;
  std::uint64_t resumed_ = 0;
  std::uint64_t heartbeats_ = 0;
};

}  // namespace millrace::gateway::testing
