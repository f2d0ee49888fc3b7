// A process for tests to start, stop and kill: publishes numbered trades through the public API.
//   puppet SOCKET TOPIC NAME COUNT [--take-over]
// COUNT 0 is without end. Prints "ready EPOCH NEXT_SEQUENCE" once attached, then, whenever a thousand more are in the
// log, "recorded SEQUENCE", and at the end "done SEQUENCE". Errors go to standard error, exit code 1.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "bus/base/idle.hpp"
#include "bus/bus.hpp"

namespace {

int complain(const millrace::Error& error) {
  std::fprintf(stderr, "%s: %s\n", std::string(to_string(error.code)).c_str(), error.message.c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace millrace;
  using namespace std::chrono_literals;
  if (argc < 5) return std::fprintf(stderr, "usage: puppet SOCKET TOPIC NAME COUNT [--take-over]\n"), 2;
  const std::uint64_t count = std::strtoull(argv[4], nullptr, 10);
  const bool take_over = argc > 5 && std::strcmp(argv[5], "--take-over") == 0;
  auto bus = Bus::connect({.name = "puppet", .socket = argv[1]});
  if (!bus) return complain(bus.error());
  auto publisher = (*bus)->publisher(argv[2], argv[3], take_over);
  if (!publisher) return complain(publisher.error());
  std::printf("ready %lu %lu\n", publisher->epoch().value(), publisher->next_sequence().value());
  std::fflush(stdout);
  BackOffIdle idle;
  Sequence told;
  MonotonicTime told_at;
  for (std::uint64_t i = 0; count == 0 || i < count;) {
    const Published published = publisher->publish<schemas::TradeEvent>([&](schemas::TradeEvent& trade) {
      trade.mutate_buy_order_id(publisher->next_sequence().value());
      schemas::set_text(trade.mutable_instrument(), "MILL");
    });
    i += published ? 1 : 0;
    idle.idle(published ? 1 : 0);
    if (published.status == PublishStatus::closed) return complain(publisher->error());
    const MonotonicTime now = system_clock().monotonic();
    // Seldom enough that it never waits for who does not read.
    if (const Sequence recorded = publisher->recorded_sequence(); recorded >= told + 1000 && now - told_at >= 20ms) {
      told = recorded;
      told_at = now;
      std::printf("recorded %lu\n", told.value());
      std::fflush(stdout);
    }
  }
  const Sequence last(publisher->next_sequence().value() - 1);
  while (publisher->recorded_sequence() < last) {
    publisher->idle();
    idle.idle(0);
  }
  std::printf("done %lu\n", last.value());
  return 0;
}
