// The processes of a round: started, killed, stopped, and started again in the same place.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bus/base/clock.hpp"
#include "bus/base/fd.hpp"
#include "bus/base/result.hpp"
#include "tools/torturer/child.hpp"
#include "tools/torturer/stalls.hpp"

namespace millrace::torture {

class CrewProcesses {
 public:
  // `program`: this one. Makes the folder with the core's configuration in it.
  [[nodiscard]] static Result<CrewProcesses> make(const std::string& programs, const std::string& folder,
                                                  const Crew& crew, std::uint64_t rate);

  [[nodiscard]] Status start_core();
  [[nodiscard]] Status start_workers();

  // To be called often: takes up the dead and starts their successors, wakes the stopped when their time is up.
  // Errors: a process ended that nobody killed.
  [[nodiscard]] Status tend(MonotonicTime now);
  // False while there is no such process: the gateway is not started again yet.
  [[nodiscard]] bool act(const Action& action, MonotonicTime now);
  [[nodiscard]] bool any_stopped() const { return !stopped_.empty(); }

  // Tells them to end and to stay away.
  void end(Victim kind);
  [[nodiscard]] bool all_ended(Victim kind) const;
  [[nodiscard]] std::string running(Victim kind) const;  // for a message

  [[nodiscard]] pid_t core_pid() const { return core_.child ? core_.child->pid() : 0; }
  [[nodiscard]] pid_t gateway_pid() const;  // 0: none
  [[nodiscard]] const std::vector<Incident>& incidents() const { return incidents_; }
  [[nodiscard]] std::string socket() const { return folder_ + "/run/control.sock"; }
  [[nodiscard]] std::string end_file() const { return folder_ + "/end"; }
  [[nodiscard]] std::string log_folder() const;

  struct Member {
    Victim kind{};
    std::uint32_t index = 0;
    std::string name;
    std::string level;  // of a subscriber
    std::uint64_t life = 0;
    std::optional<Child> child;
    bool killed = false;  // by us: it is to be started again
    bool ending = false;

    [[nodiscard]] std::string journal(const std::string& folder) const { return folder + '/' + name + ".journal"; }
  };
  [[nodiscard]] const std::vector<Member>& workers() const { return workers_; }

 private:
  struct Stopped {
    UniqueFd pidfd;
    MonotonicTime until;
    std::size_t incident;
  };

  CrewProcesses() = default;
  [[nodiscard]] Status start(Member& member);
  [[nodiscard]] Status look_after(Member& member);
  [[nodiscard]] Member* find(const Action& action);
  void wake(Stopped& stopped, MonotonicTime now);

  std::string programs_;
  std::string folder_;
  std::uint16_t port_ = 0;
  std::uint64_t rate_ = 0;
  Member core_;
  std::vector<Member> workers_;
  std::vector<Stopped> stopped_;
  std::vector<Incident> incidents_;
};

}  // namespace millrace::torture
