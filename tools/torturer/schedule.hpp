// Who is killed or stopped, when, and with which signal: made from a seed, before the run, and the same each time.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace millrace::torture {

enum class Victim { publisher, subscriber, websocket, gateway, core };
inline constexpr std::size_t victim_count = 5;
[[nodiscard]] const char* to_string(Victim victim);

struct Crew {
  std::uint32_t publishers = 3;
  std::uint32_t subscribers = 3;  // one each of levels live, recorded and synced, then again
  std::uint32_t websockets = 2;
};

struct Action {
  std::chrono::nanoseconds after{};  // the one before
  Victim victim = Victim::publisher;
  std::uint32_t index = 0;  // of the publisher, subscriber or WebSocket client
  bool stop = false;        // SIGSTOP, and SIGCONT 5 s later; else SIGKILL

  bool operator==(const Action&) const = default;
};
[[nodiscard]] std::string to_string(const Action& action);

struct Pace {
  std::chrono::milliseconds least{20};  // between two actions
  std::chrono::milliseconds most{900};
};

// `kills` kills, and one stop of a publisher, a subscriber, the gateway and the core for each 30 kills begun. The core
// is left alone in the last third, so that what its clients' deaths leave in it shows at the end.
[[nodiscard]] std::vector<Action> make_schedule(std::uint64_t seed, std::uint32_t kills, const Crew& crew,
                                                const Pace& pace);

}  // namespace millrace::torture
