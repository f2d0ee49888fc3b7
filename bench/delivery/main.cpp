// Delivery from process to process: millrace at level live or recorded, beside iceoryx one chunk a message and a bare
// cache-line hand-over. bench/delivery/run starts what it needs and prints them in turn.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "bench/delivery/hand_over.hpp"
#include "bench/delivery/harness.hpp"
#include "bench/delivery/iceoryx_chunks.hpp"
#include "bench/folder.hpp"
#include "bus/bus.hpp"
#include "bus/testing/memory_bus.hpp"

namespace millrace::bench {
namespace {

// Real trades, built in place by the publisher and verified by the subscriber: frames of 216 bytes.
bool publish_trade(Publisher& publisher, const Stamp& stamp) {
  return static_cast<bool>(publisher.publish<schemas::TradeEvent>([&](schemas::TradeEvent& trade) {
    schemas::set_text(trade.mutable_instrument(), "MILL");
    trade.mutate_price(1'808'080);
    trade.mutate_quantity(100);
    trade.mutate_price_scale(3);
    trade.mutate_aggressor(schemas::Side::buy);
    trade.mutate_buy_order_id(stamp.number);
    trade.mutate_sell_order_id(stamp.intended);
    trade.mutate_match_time(static_cast<std::int64_t>(stamp.sent));
  }));
}
void poll_trades(Subscriber& subscriber, const std::function<void(const Stamp&)>& consume) {
  subscriber.poll<schemas::TradeEvent>([&](const schemas::TradeEvent& trade, const Event&) {
    consume({trade.buy_order_id(), trade.sell_order_id(), static_cast<std::uint64_t>(trade.match_time())});
  });
}

Outcome measure_millrace(const Plan& plan, const std::string& socket, const std::string& topic, Level level) {
  const auto publisher = [&]() -> Send {
    auto bus = Bus::connect({.name = "bench-publisher", .socket = socket});
    MILLRACE_ASSERT(bus, "the core answers");
    auto made = (*bus)->publisher(topic, "bench");
    MILLRACE_ASSERT(made, "the publisher attaches");
    struct Held {
      std::unique_ptr<Bus> bus;
      Publisher publisher;
    };
    auto held = std::make_shared<Held>(Held{std::move(*bus), std::move(*made)});
    return [held](const Stamp& stamp) { return publish_trade(held->publisher, stamp); };
  };
  const auto subscriber = [&]() -> Poll {
    auto bus = Bus::connect({.name = "bench-subscriber", .socket = socket});
    MILLRACE_ASSERT(bus, "the core answers");
    auto made = (*bus)->subscribe(topic, {.level = level});
    MILLRACE_ASSERT(made, "the subscriber attaches");
    struct Held {
      std::unique_ptr<Bus> bus;
      Subscriber subscriber;
    };
    auto held = std::make_shared<Held>(Held{std::move(*bus), std::move(*made)});
    return [held](const std::function<void(const Stamp&)>& consume) { poll_trades(held->subscriber, consume); };
  };
  return measure_delivery(plan, publisher, subscriber);
}

// The data path alone: neither core nor recorder. The publisher's process also grants the pages; the log is not
// written.
Outcome measure_ring(const Plan& plan) {
  ManualClock clock;
  const Folder folder;
  Outcome outcome;
  {
    testing::MemoryBus bus({.folder = folder.at("log"),
                            .ring_bytes = 10'000'000,
                            .page_size = limits::page_size,
                            .grant_ahead = 50,
                            .policy = ring::StallPolicy::live_only},
                           clock);
    const auto publisher = bus.publisher("bench");
    const auto subscriber = bus.subscribe(Level::live);
    MILLRACE_ASSERT(subscriber, "the subscriber attaches");
    outcome = measure_delivery(
        plan,
        [&]() -> Send {
          return [&](const Stamp& stamp) {
            if (stamp.number % 1024 == 0) bus.grant();
            return publish_trade(*publisher, stamp);
          };
        },
        [&]() -> Poll {
          return [&](const std::function<void(const Stamp&)>& consume) { poll_trades(**subscriber, consume); };
        });
  }
  return outcome;
}

// False if nothing came, which is no measurement.
bool print(const char* label, const Plan& plan, const Outcome& outcome) {
  const auto row = [](const Histogram& h) {
    std::printf(" %7lu %7lu %8lu %9lu", h.percentile(0.5), h.percentile(0.99), h.percentile(0.999), h.max());
  };
  std::printf("%-24s %9.0f", label, plan.rate);
  row(outcome.as_received);
  std::printf("  |");
  row(outcome.corrected);
  std::printf("  | %6.2f M/s  missed %lu of %lu\n", static_cast<double>(outcome.received) / outcome.seconds / 1e6,
              outcome.missed + (plan.count - outcome.received - outcome.missed), plan.count);
  std::fflush(stdout);
  return outcome.received > plan.count / 100;
}

int main(int argc, char** argv) {
  CLI::App app{"delivery latency and rate between two processes"};
  std::string what, socket, topic = "trade_events", level = "live";
  Plan plan;
  bool header = false;
  app.add_option("what", what, "millrace, ring (millrace without core and recorder), iceoryx or hand_over")
      ->required()
      ->check(CLI::IsMember({"millrace", "ring", "iceoryx", "hand_over"}));
  app.add_option("--socket", socket, "millraced's control socket");
  app.add_option("--topic", topic)->capture_default_str();
  app.add_option("--level", level)->check(CLI::IsMember({"live", "recorded", "synced"}))->capture_default_str();
  app.add_option("--count", plan.count, "messages")->capture_default_str();
  app.add_option("--rate", plan.rate, "messages a second; 0: flat out")->capture_default_str();
  app.add_flag("--header", header, "print the table's head first");
  CLI11_PARSE(app, argc, argv);
  if (header) {
    std::printf("%-24s %9s %34s  | %34s  |\n", "", "", "as received, ns", "corrected, ns");
    std::printf("%-24s %9s %7s %7s %8s %9s  | %7s %7s %8s %9s  | delivered\n", "case", "msg/s", "p50", "p99", "p99.9",
                "max", "p50", "p99", "p99.9", "max");
  }
  bool measured = false;
  if (what == "hand_over") {
    measured = print("bare hand-over", plan, measure_hand_over(plan));
  } else if (what == "iceoryx") {
    measured = print("iceoryx, a chunk each", plan, measure_iceoryx_chunks(plan));
  } else if (what == "ring") {
    measured = print("millrace's ring alone", plan, measure_ring(plan));
  } else {
    const Level at = level == "live" ? Level::live : level == "recorded" ? Level::recorded : Level::synced;
    const std::string label = "millrace " + level + (topic == "trade_events" ? "" : " " + topic);
    measured = print(label.c_str(), plan, measure_millrace(plan, socket, topic, at));
  }
  return measured ? 0 : 1;
}

}  // namespace
}  // namespace millrace::bench

int main(int argc, char** argv) {
  return millrace::bench::main(argc, argv);
}
