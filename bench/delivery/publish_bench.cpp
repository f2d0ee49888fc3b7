// What publishing an event costs its publisher, with nobody reading, recording or waiting.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "bench/folder.hpp"
#include "bus/testing/memory_bus.hpp"
#include "schemas/trade_events_generated.h"

namespace millrace {
namespace {

void publish(benchmark::State& state) {
  constexpr std::uint64_t between_grants = 1024;
  ManualClock clock;
  const bench::Folder folder;
  {
    testing::MemoryBusOptions options;
    options.folder = folder.at("log");
    options.ring_bytes = 10'000'000;
    options.page_size = limits::page_size;
    options.grant_ahead = 50;
    options.policy = ring::StallPolicy::live_only;
    testing::MemoryBus bus(options, clock);
    const auto publisher = bus.publisher("bench");
    std::uint64_t number = 0;
    for (auto _ : state) {
      if (++number % between_grants == 0) bus.grant();
      const auto published = publisher->publish<schemas::TradeEvent>(
          [number](schemas::TradeEvent& trade) { trade.mutate_buy_order_id(number); });
      if (!published) state.SkipWithError("no page was free");
    }
    state.SetItemsProcessed(state.iterations());
  }
}
BENCHMARK(publish);

}  // namespace
}  // namespace millrace

BENCHMARK_MAIN();
