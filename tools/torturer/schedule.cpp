#include "tools/torturer/schedule.hpp"

#include <algorithm>
#include <random>
#include <utility>

namespace millrace::torture {
namespace {

// Of 20 kills each: publishers are where acknowledgements are, the core is what all depend on.
constexpr Victim victims[] = {Victim::publisher,  Victim::core,       Victim::subscriber, Victim::gateway,
                              Victim::publisher,  Victim::websocket,  Victim::publisher,  Victim::subscriber,
                              Victim::core,       Victim::publisher,  Victim::publisher,  Victim::gateway,
                              Victim::subscriber, Victim::publisher,  Victim::websocket,  Victim::publisher,
                              Victim::core,       Victim::subscriber, Victim::publisher,  Victim::subscriber};
constexpr std::uint32_t kills_a_stop = 30;

class Maker {
 public:
  Maker(std::uint64_t seed, const Crew& crew, const Pace& pace) : random_(seed), crew_(crew), pace_(pace) {}

  // Not std::uniform_int_distribution, which gives other numbers with another library.
  [[nodiscard]] std::uint64_t below(std::uint64_t limit) { return random_() % limit; }

  // Each victim as often as it stands in `victims`; the core not from `last_of_core` on.
  [[nodiscard]] std::vector<Victim> shuffled(std::size_t kills, std::size_t last_of_core) {
    std::vector<Victim> order;
    for (std::size_t i = 0; i < kills; ++i) order.push_back(victims[i % std::size(victims)]);
    for (std::size_t i = kills; i > 1; --i) std::swap(order[i - 1], order[below(i)]);
    for (std::size_t i = last_of_core; i < kills; ++i) {
      while (order[i] == Victim::core) std::swap(order[i], order[below(last_of_core)]);
    }
    return order;
  }

  [[nodiscard]] Action action(Victim victim, bool stop) {
    Action made;
    made.after = pace_.least + std::chrono::microseconds(
                                   below(static_cast<std::uint64_t>((pace_.most - pace_.least).count()) * 1000 + 1));
    made.victim = victim;
    made.stop = stop;
    made.index = static_cast<std::uint32_t>(below(places(victim)));
    return made;
  }

 private:
  [[nodiscard]] std::uint32_t places(Victim victim) const {
    switch (victim) {
      case Victim::publisher:
        return crew_.publishers;
      case Victim::subscriber:
        return crew_.subscribers;
      case Victim::websocket:
        return crew_.websockets;
      default:
        return 1;
    }
  }

  std::mt19937_64 random_;
  const Crew& crew_;
  const Pace& pace_;
};

}  // namespace

const char* to_string(Victim victim) {
  constexpr const char* names[victim_count] = {"publisher", "subscriber", "WebSocket client", "gateway", "core"};
  return names[static_cast<std::size_t>(victim)];
}

std::string to_string(const Action& action) {
  const bool one = action.victim == Victim::gateway || action.victim == Victim::core;
  return std::string(action.stop ? "stop" : "kill") + " the " + to_string(action.victim) +
         (one ? "" : " " + std::to_string(action.index)) + " after " +
         std::to_string(action.after / std::chrono::microseconds(1)) + " us";
}

std::vector<Action> make_schedule(std::uint64_t seed, std::uint32_t kills, const Crew& crew, const Pace& pace) {
  Maker maker(seed, crew, pace);
  const std::size_t last_of_core = kills - kills / 3;
  const std::vector<Victim> order = maker.shuffled(kills, last_of_core);
  std::vector<Action> schedule;
  for (const Victim victim : order) schedule.push_back(maker.action(victim, false));
  for (std::uint32_t begun = 0; begun < kills; begun += kills_a_stop) {
    for (const Victim victim : {Victim::publisher, Victim::subscriber, Victim::gateway, Victim::core}) {
      const std::size_t at = victim == Victim::core ? maker.below(last_of_core + 1) : maker.below(schedule.size() + 1);
      schedule.insert(schedule.begin() + static_cast<std::ptrdiff_t>(at), maker.action(victim, true));
    }
  }
  return schedule;
}

}  // namespace millrace::torture
