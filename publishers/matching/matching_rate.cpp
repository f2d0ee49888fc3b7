// How many commands a second the engine carries out, alone and on one thread: matching_rate [COMMANDS [SEED]].
// The commands are made beforehand, so that only the engine is measured; the hash of all events shows that two runs did
// the same work.
#include <charconv>
#include <chrono>
#include <cstdio>
#include <string_view>

#include "publishers/matching/engine.hpp"
#include "publishers/matching/order_flow.hpp"

namespace {

using namespace millrace;
using namespace millrace::matching;

// Counts, and hashes what an event says.
class Tally final : public EventHandler {
 public:
  void on_accepted(const Accepted& event) override { note(accepted, event.head, event.order.order.value()); }
  void on_rejected(const Rejected& event) override {
    note(rejected, event.head, static_cast<std::uint64_t>(event.reason));
  }
  void on_trade(const Trade& event) override {
    note(trades, event.head, event.buyer.order.value());
    mix(event.seller.order.value());
    mix(static_cast<std::uint64_t>(event.price.units));
    mix(static_cast<std::uint64_t>(event.quantity.units));
  }
  void on_cancelled(const Cancelled& event) override { note(cancelled, event.head, event.order.value()); }
  void on_replaced(const Replaced& event) override { note(replaced, event.head, event.order.value()); }
  void on_expired(const Expired& event) override { note(expired, event.head, event.order.value()); }
  void on_phase_changed(const PhaseChanged& event) override { note(others, event.head, 0); }
  void on_book_changed(const BookChanged& event) override { note(book_changes, event.head, event.sequence.value()); }

  std::uint64_t accepted = 0, rejected = 0, trades = 0, cancelled = 0, replaced = 0, expired = 0, others = 0,
                book_changes = 0;
  std::uint64_t hash = 0;

 private:
  void mix(std::uint64_t value) { hash = (hash ^ value) * 0x9e3779b97f4a7c15ULL; }
  void note(std::uint64_t& count, const EventHead& head, std::uint64_t value) {
    ++count;
    mix(head.cause.value() * 8 + head.index);
    mix(value);
  }
};

bool parse(std::string_view text, std::uint64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t count = 3'000'000;
  std::uint64_t seed = 1;
  if (argc > 3 || (argc > 1 && (!parse(argv[1], count) || count == 0)) || (argc > 2 && !parse(argv[2], seed))) {
    std::fprintf(stderr, "usage: matching_rate [COMMANDS [SEED]], both whole numbers\n");
    return 2;
  }
  Tally tally;
  Engine engine(tally);
  for (const auto& config : demo_instruments()) {
    if (const auto added = engine.add_instrument(config); !added) {
      std::fprintf(stderr, "%s\n", added.error().message.c_str());
      return 1;
    }
  }
  OrderFlow flow({.seed = seed});
  std::vector<TimedCommand> commands;
  commands.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) commands.push_back(flow.next());

  const auto begin = system_clock().monotonic();
  for (const auto& [input, command] : commands) engine.apply(input, command);
  const auto seconds = std::chrono::duration<double>(system_clock().monotonic() - begin).count();

  std::printf("%llu commands in %.3f s: %.2f M/s, %.0f ns each\n", static_cast<unsigned long long>(count), seconds,
              static_cast<double>(count) / seconds / 1e6, seconds * 1e9 / static_cast<double>(count));
  std::printf("accepted %llu rejected %llu trades %llu cancelled %llu replaced %llu expired %llu book changes %llu\n",
              static_cast<unsigned long long>(tally.accepted), static_cast<unsigned long long>(tally.rejected),
              static_cast<unsigned long long>(tally.trades), static_cast<unsigned long long>(tally.cancelled),
              static_cast<unsigned long long>(tally.replaced), static_cast<unsigned long long>(tally.expired),
              static_cast<unsigned long long>(tally.book_changes));
  std::printf("hash %016llx\n", static_cast<unsigned long long>(tally.hash));
  // Every command is answered, else the figure above measured something else.
  return tally.accepted + tally.rejected + tally.cancelled + tally.replaced >= count ? 0 : 1;
}
