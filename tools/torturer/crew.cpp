#include "tools/torturer/crew.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "bus/control/socket.hpp"
#include "tools/torturer/stamp.hpp"

namespace millrace::torture {
namespace {

constexpr auto stop_time = std::chrono::seconds(5);

Result<std::uint16_t> free_port() {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return fail_errno("no free port for the gateway", errno);
  }
  return ntohs(address.sin_port);
}

}  // namespace

Result<CrewProcesses> CrewProcesses::make(const std::string& programs, const std::string& folder, const Crew& crew,
                                          std::uint64_t rate) {
  CrewProcesses made;
  made.programs_ = programs;
  made.folder_ = folder;
  made.rate_ = rate;
  const auto port = free_port();
  if (!port) return fail(port.error());
  made.port_ = *port;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return fail(ErrorCode::io_failed, "cannot make " + folder + ": " + error.message());
  // The judge wants every event: nothing is deleted.
  std::ofstream(folder + "/millrace.toml")
      << "default_topics = false\n[core]\nruntime_dir = \"" << folder << "/run\"\nlog_dir = \"" << folder
      << "/log\"\n[gateway]\nlisten = \"127.0.0.1:" << *port << "\"\n[topics." << topic_name
      << "]\npublishers = " << crew.publishers << "\nretention_bytes = 0\n";
  made.core_.kind = Victim::core;
  made.core_.name = "core";
  const auto add = [&](Victim kind, const char* name, std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) {
      constexpr const char* levels[] = {"live", "recorded", "synced"};
      made.workers_.push_back({kind, i, name + std::to_string(i), levels[i % 3], 0, std::nullopt, false, false});
    }
  };
  add(Victim::publisher, "publisher", crew.publishers);
  add(Victim::subscriber, "subscriber", crew.subscribers);
  add(Victim::websocket, "websocket", crew.websockets);
  return made;
}

std::string CrewProcesses::log_folder() const {
  return folder_ + "/log/" + topic_name;
}

Status CrewProcesses::start_core() {
  return start(core_);
}

Status CrewProcesses::start_workers() {
  for (Member& worker : workers_) MILLRACE_TRY(start(worker));
  return {};
}

Status CrewProcesses::start(Member& member) {
  std::vector<std::string> command;
  if (member.kind == Victim::core) {
    command = {programs_ + "/millraced", "--config", folder_ + "/millrace.toml"};
  } else {
    constexpr const char* roles[] = {"publisher", "subscriber", "websocket"};
    command = {programs_ + "/millrace-torture",
               roles[static_cast<std::size_t>(member.kind)],
               "--socket=" + socket(),
               "--journal=" + member.journal(folder_),
               "--end-file=" + end_file(),
               "--port=" + std::to_string(port_),
               "--slot=" + std::to_string(member.index),
               "--life=" + std::to_string(member.life + 1),
               "--rate=" + std::to_string(rate_),
               "--level=" + member.level};
  }
  ++member.life;
  member.killed = false;
  member.child.reset();
  auto child = Child::start(std::move(command), folder_ + '/' + member.name + ".out");
  if (!child) return fail(child.error());
  member.child.emplace(std::move(*child));
  return {};
}

Status CrewProcesses::look_after(Member& member) {
  if (!member.child) return {};
  const auto status = member.child->ended();
  if (!status) return {};
  member.child.reset();
  if (member.killed && *status == 128 + SIGKILL) return start(member);
  if (member.ending && *status == 0) return {};
  return fail(ErrorCode::internal, member.name + ", life " + std::to_string(member.life) + ", ended with status " +
                                       std::to_string(*status) + " though nobody killed it: see " + folder_ + '/' +
                                       member.name + ".out");
}

Status CrewProcesses::tend(MonotonicTime now) {
  std::erase_if(stopped_, [&](Stopped& stopped) {
    if (now < stopped.until && signal_by(stopped.pidfd, 0)) return false;
    wake(stopped, now);
    return true;
  });
  MILLRACE_TRY(look_after(core_));
  for (Member& worker : workers_) MILLRACE_TRY(look_after(worker));
  return {};
}

void CrewProcesses::wake(Stopped& stopped, MonotonicTime now) {
  (void)signal_by(stopped.pidfd, SIGCONT);
  incidents_[stopped.incident].until = now;
}

CrewProcesses::Member* CrewProcesses::find(const Action& action) {
  if (action.victim == Victim::core) return &core_;
  const auto at = std::find_if(workers_.begin(), workers_.end(), [&](const Member& worker) {
    return worker.kind == action.victim && worker.index == action.index;
  });
  return at == workers_.end() ? nullptr : &*at;
}

bool CrewProcesses::act(const Action& action, MonotonicTime now) {
  Member* const member = find(action);  // the gateway is the core's
  const pid_t pid = member == nullptr ? gateway_pid() : member->child ? member->child->pid() : 0;
  if (pid == 0 || (member != nullptr && member->killed)) return false;
  auto pidfd = control::open_pidfd(pid);
  if (!pidfd) return false;
  if (member != nullptr && !action.stop) member->killed = true;
  if (!signal_by(*pidfd, action.stop ? SIGSTOP : SIGKILL)) return false;
  incidents_.push_back({action.victim, action.index, action.stop, now, action.stop ? now + stop_time : now});
  if (action.stop) stopped_.push_back({std::move(*pidfd), now + stop_time, incidents_.size() - 1});
  return true;
}

pid_t CrewProcesses::gateway_pid() const {
  if (core_pid() == 0) return 0;
  const auto children = children_of(core_pid());
  return children.empty() ? 0 : children.front();
}

void CrewProcesses::end(Victim kind) {
  const auto tell = [&](Member& member) {
    if (member.kind != kind) return;
    member.ending = true;
    if (member.child) member.child->signal(SIGTERM);
  };
  tell(core_);
  for (Member& worker : workers_) tell(worker);
}

bool CrewProcesses::all_ended(Victim kind) const {
  return running(kind).empty();
}

std::string CrewProcesses::running(Victim kind) const {
  std::string names;
  const auto look = [&](const Member& member) {
    if (member.kind == kind && member.child) names += (names.empty() ? "" : ", ") + member.name;
  };
  look(core_);
  for (const Member& worker : workers_) look(worker);
  return names;
}

}  // namespace millrace::torture
