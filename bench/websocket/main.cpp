// From Publisher::publish() through recorder, follower and gateway to WebSocket clients: latency and fan-out of one
// case. bench/websocket/run starts a core for each, and prints them in turn.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <string>

#include "bench/websocket/process_stats.hpp"
#include "bench/websocket/sessions.hpp"
#include "bench/websocket/trade_source.hpp"
#include "subscribers/realtime/client/ws_client.hpp"
#include "subscribers/realtime/gateway.hpp"

namespace millrace::bench {
namespace {

struct Plan {
  std::string socket;
  std::uint16_t port = 0;
  int gateway = 0;
  std::size_t sessions = 1;
  std::string encoding = "json";
  double rate = 1000;
  std::uint64_t count = 1000;
  std::uint64_t warm_up = 1000;
};

struct Outcome {
  Received received;
  std::uint64_t late_ns_max = 0;
  std::uint64_t back_pressured = 0;
  std::uint64_t log_reads = 0;  // of the gateway, for sessions behind its cache
  std::uint64_t resident_before = 0;
  std::uint64_t resident_open = 0;  // sessions subscribed, nothing published
  std::uint64_t resident_after = 0;
  double gateway_seconds = 0;  // processor time while events flowed

  [[nodiscard]] double seconds() const {
    return static_cast<double>((received.last_received - received.first_published).count()) / 1e9;
  }
  [[nodiscard]] double delivered_per_second() const { return static_cast<double>(received.events) / seconds(); }
  [[nodiscard]] double gateway_ns_per_event() const {
    return gateway_seconds * 1e9 / static_cast<double>(received.events);
  }
  [[nodiscard]] double bytes_per_session(const Plan& plan) const {
    return (static_cast<double>(resident_open) - static_cast<double>(resident_before)) /
           static_cast<double>(plan.sessions);
  }
};

// One of the gateway's counters; 0 if it is not there.
std::uint64_t metric(std::uint16_t port, const std::string& name) {
  const std::string text = gateway::client::http_request(port, "GET", "/metrics").body;
  const std::size_t at = text.find("\n" + name + " ");
  return at == text.npos ? 0 : std::strtoull(text.c_str() + at + name.size() + 2, nullptr, 10);
}

Result<Outcome> measure(const Plan& plan) {
  auto bus = Bus::connect({.name = "bench", .socket = plan.socket});
  if (!bus) return fail(bus.error());
  auto publisher = (*bus)->publisher("trade_events", "bench");
  if (!publisher) return fail(publisher.error());

  Outcome outcome;
  outcome.resident_before = resident_bytes(plan.gateway);
  auto sessions = Sessions::open(plan.port, plan.sessions, "trade_events", plan.encoding == "binary");
  if (!sessions) return fail(sessions.error());
  outcome.resident_open = resident_bytes(plan.gateway);

  TradeSource source(std::move(*publisher));
  const auto run = [&](std::uint64_t count, double rate) {
    source.begin(count, rate);
    AgentRunner runner("bench-source", source, std::make_unique<BackOffIdle>());
    runner.start();
    return sessions->receive(count);
  };
  // A core that has just started is still laying out its logs.
  if (const auto warm = run(plan.warm_up, 1000); !warm) return fail(warm.error());
  const double begin = processor_seconds(plan.gateway);
  auto received = run(plan.count, plan.rate);
  if (!received) return fail(received.error());

  outcome.gateway_seconds = processor_seconds(plan.gateway) - begin;
  outcome.resident_after = resident_bytes(plan.gateway);
  outcome.received = std::move(*received);
  outcome.late_ns_max = source.late_ns_max();
  outcome.back_pressured = source.back_pressured();
  outcome.log_reads = metric(plan.port, "millrace_gateway_replay_reads_total");
  if (!source.done() || outcome.received.latency.count() != plan.count * plan.sessions) {
    return fail(ErrorCode::internal, "not all that was published was measured");
  }
  if (outcome.resident_before == 0 || outcome.resident_after == 0) {
    return fail(ErrorCode::not_found, "no process has the gateway's id, so its memory was not measured");
  }
  return outcome;
}

void print_head() {
  std::printf("%8s %6s %8s %8s %11s | %34s | %8s | %17s | %26s %9s | %s\n", "", "", "offered", "", "delivered",
              "latency, us", "gateway", "publisher", "gateway's memory, MB", "KB a", "log");
  std::printf("%8s %6s %8s %8s %11s | %7s %8s %8s %8s | %8s | %8s %8s | %8s %8s %8s %9s | %s\n", "sessions", "as",
              "msg/s", "events", "msg/s", "p50", "p99", "p99.9", "max", "ns/event", "late, us", "no page", "before",
              "sessions", "after", "session", "reads");
}

void print(const Plan& plan, const Outcome& outcome) {
  const Histogram& latency = outcome.received.latency;
  const auto us = [](std::uint64_t ns) { return static_cast<double>(ns) / 1e3; };
  const auto mb = [](std::uint64_t bytes) { return static_cast<double>(bytes) / 1e6; };
  std::printf("%8zu %6s %8.0f %8lu %11.0f", plan.sessions, plan.encoding.c_str(), plan.rate, plan.count,
              outcome.delivered_per_second());
  std::printf(" | %7.0f %8.0f %8.0f %8.0f", us(latency.percentile(0.5)), us(latency.percentile(0.99)),
              us(latency.percentile(0.999)), us(latency.max()));
  std::printf(" | %8.0f | %8.0f %8lu", outcome.gateway_ns_per_event(), us(outcome.late_ns_max), outcome.back_pressured);
  std::printf(" | %8.1f %8.1f %8.1f %9.1f", mb(outcome.resident_before), mb(outcome.resident_open),
              mb(outcome.resident_after), outcome.bytes_per_session(plan) / 1e3);
  std::printf(" | %lu\n", outcome.log_reads);
  std::fflush(stdout);
}

// One JSON object, on a line of its own.
void append_json(const std::string& path, const Plan& plan, const Outcome& outcome) {
  std::ofstream file(path, std::ios::app);
  const Histogram& latency = outcome.received.latency;
  file << std::fixed << R"({"sessions":)" << plan.sessions << R"(,"encoding":")" << plan.encoding
       << R"(","offered_per_second":)" << plan.rate << R"(,"events":)" << plan.count << R"(,"delivered":)"
       << outcome.received.events << R"(,"delivered_per_second":)" << outcome.delivered_per_second()
       << R"(,"messages":)" << outcome.received.messages << R"(,"bytes":)" << outcome.received.bytes
       << R"(,"latency_ns":{"p50":)" << latency.percentile(0.5) << R"(,"p99":)" << latency.percentile(0.99)
       << R"(,"p99_9":)" << latency.percentile(0.999) << R"(,"max":)" << latency.max() << R"(},"gateway_ns_per_event":)"
       << outcome.gateway_ns_per_event() << R"(,"publisher_late_ns_max":)" << outcome.late_ns_max
       << R"(,"back_pressured":)" << outcome.back_pressured << R"(,"gateway_resident_bytes":{"before":)"
       << outcome.resident_before << R"(,"sessions":)" << outcome.resident_open << R"(,"after":)"
       << outcome.resident_after << R"(},"bytes_per_session":)" << outcome.bytes_per_session(plan) << R"(,"log_reads":)"
       << outcome.log_reads << "}\n";
}

int main(int argc, char** argv) {
  CLI::App app{"latency and rate from a publisher to WebSocket sessions, through a running bus"};
  Plan plan;
  std::string json;
  bool head = false;
  app.add_option("--socket", plan.socket, "millraced's control socket")->required();
  app.add_option("--port", plan.port, "the gateway's, on the loopback")->required();
  app.add_option("--gateway", plan.gateway, "its process id")->required();
  app.add_option("--sessions", plan.sessions)->check(CLI::Range(1, 20'000))->capture_default_str();
  app.add_option("--encoding", plan.encoding)->check(CLI::IsMember({"json", "binary"}))->capture_default_str();
  app.add_option("--rate", plan.rate, "events a second; 0: flat out")->check(CLI::NonNegativeNumber);
  app.add_option("--count", plan.count, "events")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--warm-up", plan.warm_up, "events before, at 1,000 a second")->capture_default_str();
  app.add_option("--json", json, "append the case to this file, as a line of JSON");
  app.add_flag("--head", head, "print the table's head first");
  CLI11_PARSE(app, argc, argv);
  gateway::raise_descriptor_limit();
  if (head) print_head();
  const auto outcome = measure(plan);
  if (!outcome) {
    std::fprintf(stderr, "%zu sessions, %s, %.0f msg/s: %s\n", plan.sessions, plan.encoding.c_str(), plan.rate,
                 outcome.error().message.c_str());
    return 1;
  }
  print(plan, *outcome);
  if (!json.empty()) append_json(json, plan, *outcome);
  return 0;
}

}  // namespace
}  // namespace millrace::bench

int main(int argc, char** argv) {
  return millrace::bench::main(argc, argv);
}
