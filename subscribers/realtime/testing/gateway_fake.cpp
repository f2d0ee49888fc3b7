// A gateway on a source in memory that makes trades and books of three instruments: for the page's test, and to look
// at. Prints "port N" once it listens; ends when its standard input does.
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <string>

#include "bus/base/agent.hpp"
#include "subscribers/realtime/gateway.hpp"
#include "subscribers/realtime/testing/memory_source.hpp"

namespace {

using namespace millrace;
using gateway::testing::MemorySource;

std::string decimal(std::int64_t cents) {
  std::string out = std::to_string(cents);  // of three digits and more
  out.insert(out.size() - 2, 1, '.');
  return out;
}

void append_level(std::int64_t cents, std::int64_t quantity, std::string& out) {
  if (!out.empty()) out += ',';
  out += R"({"price":")";
  out += decimal(cents);
  out += R"(","quantity":")";
  out += std::to_string(quantity);
  out += R"("})";
}

class Market final : public Agent {
 public:
  explicit Market(MemorySource& source) : source_(source) {}

  std::uint64_t do_work(MonotonicTime now) override {
    if (now < next_) return 0;
    next_ = now + std::chrono::milliseconds(20);
    ++step_;
    const std::size_t index = step_ % instruments.size();
    const std::string instrument = instruments[index];
    // A price that wanders, the same at each start.
    const std::int64_t mid = 10'000 * static_cast<std::int64_t>(index + 1) + static_cast<std::int64_t>(step_ * 7 % 50);
    const WallTime wall = system_clock().wall();
    source_.publish(0,
                    R"({"trade_id":"T)" + std::to_string(step_) + R"(","instrument":")" + instrument +
                        R"(","price":")" + decimal(mid) + R"(","quantity":")" + std::to_string(1 + step_ % 9) +
                        R"(","aggressor":")" + (step_ % 2 == 0 ? "buy" : "sell") + R"("})",
                    wall);
    std::string bids;
    std::string asks;
    for (std::int64_t level = 0; level < 10; ++level) {
      append_level(mid - 1 - level, 10 + level, bids);
      append_level(mid + 1 + level, 10 + level, asks);
    }
    source_.publish(1, R"({"instrument":")" + instrument + R"(","bids":[)" + bids + R"(],"asks":[)" + asks + "]}",
                    wall);
    return 2;
  }

 private:
  static constexpr std::array<const char*, 3> instruments = {"AAA", "BBB", "CCC"};
  MemorySource& source_;
  MonotonicTime next_;
  std::uint64_t step_ = 0;
};

}  // namespace

// The only argument: the port, default any free one.
int main(int count, char** arguments) {
  gateway::raise_descriptor_limit();
  MemorySource source({"trade_events", "market_l2"});
  gateway::GatewayOptions options;
  options.port = count > 1 ? static_cast<std::uint16_t>(std::stoi(arguments[1])) : std::uint16_t{0};
  gateway::Gateway gateway(source, options);
  if (const auto started = gateway.start(); !started) {
    std::fprintf(stderr, "%s\n", started.error().message.c_str());
    return 1;
  }
  Market market(source);
  AgentRunner runner("market", market, std::make_unique<BackOffIdle>());
  runner.start();
  std::printf("port %u\n", unsigned{gateway.port()});
  std::fflush(stdout);
  char ignored[64];
  while (::read(STDIN_FILENO, ignored, sizeof ignored) > 0) {
  }
  runner.stop();
  gateway.stop();
}
