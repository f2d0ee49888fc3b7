#include "tools/torturer/round.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <functional>

#include "bus/base/idle.hpp"
#include "bus/bus.hpp"
#include "tools/torturer/crew.hpp"
#include "tools/torturer/log_records.hpp"

namespace millrace::torture {
namespace {

using namespace std::chrono_literals;

constexpr auto quiet_time = 3s;
constexpr auto patience = 120s;  // with whatever must come in the end: longer is a hang

class Round {
 public:
  Round(const RoundOptions& options, CrewProcesses crew) : options_(options), crew_(std::move(crew)) {}

  [[nodiscard]] Result<RoundResult> run() {
    MILLRACE_TRY(begin());
    MILLRACE_TRY(quiet());
    MILLRACE_TRY(torture());
    MILLRACE_TRY(settle());
    MILLRACE_TRY(end());
    MILLRACE_TRY(judge_all());
    return std::move(result_);
  }

 private:
  static MonotonicTime now() { return system_clock().monotonic(); }

  // Looks after the crew until `done`. Errors: those of tend(), and timed_out with `what` did not come about.
  [[nodiscard]] Status until(const std::function<bool()>& done, const std::function<std::string()>& what,
                             std::chrono::nanoseconds limit = patience) {
    BackOffIdle idle({.spins = 0, .yields = 1, .min_sleep = 100us, .max_sleep = 1ms});
    const MonotonicTime last = now() + limit;
    for (;;) {
      MILLRACE_TRY(crew_.tend(now()));
      if (done()) return {};
      if (now() > last) return fail(ErrorCode::timed_out, "after " + std::to_string(limit / 1s) + " s still " + what());
      idle.idle(0);
    }
  }
  [[nodiscard]] Status for_a_while(
      std::chrono::nanoseconds time, const std::function<void()>& each = [] {}) {
    const MonotonicTime last = now() + time;
    return until([&] { return each(), now() >= last; }, [] { return std::string("there"); }, time + patience);
  }

  [[nodiscard]] Status begin() {
    MILLRACE_TRY(crew_.start_core());
    MILLRACE_TRY(until(
        [&] {
          auto bus = Bus::connect({.name = "torture", .socket = crew_.socket(), .timeout = 100ms});
          if (bus) bus_ = std::move(*bus);
          return bus_ != nullptr;
        },
        [] { return std::string("no core"); }));
    MILLRACE_TRY(crew_.start_workers());
    return all_at_work();
  }

  // Each of this life has something in its journal that shows that events flow to it or from it.
  [[nodiscard]] Status all_at_work() {
    std::vector<std::pair<std::string, std::string>> waiting;
    for (const auto& worker : crew_.workers()) waiting.emplace_back(worker.name, worker.journal(options_.folder));
    MonotonicTime next{};
    return until(
        [&] {
          if (now() < next) return false;
          next = now() + 50ms;
          std::erase_if(waiting, [&](const auto& of) { return at_work(of.first, of.second); });
          return waiting.empty();
        },
        [&] { return waiting.front().first + " has not begun"; });
  }
  [[nodiscard]] bool at_work(const std::string& name, const std::string& journal) const {
    const auto member = std::find_if(crew_.workers().begin(), crew_.workers().end(),
                                     [&](const auto& worker) { return worker.name == name; });
    const auto records = read_journal(journal);
    if (!records) return false;
    bool this_life = member->kind != Victim::publisher && member->life == 0;
    for (const Record& record : *records) {
      if (record.kind == Kind::started || record.kind == Kind::attached) this_life = record.life == member->life;
      if (this_life && (record.kind == Kind::seen || record.kind == Kind::acknowledged)) return true;
    }
    return false;
  }

  [[nodiscard]] Status quiet() {
    quiet_.from = now();
    MILLRACE_TRY(for_a_while(quiet_time, [&] { early_.raise_to(usage()); }));
    quiet_.to = now();
    return {};
  }

  [[nodiscard]] Usage usage() const { return Usage::of(crew_.core_pid(), crew_.gateway_pid()); }

  [[nodiscard]] Status torture() {
    MonotonicTime due = now();
    for (const Action& action : options_.schedule) {
      due = due + action.after;
      MILLRACE_TRY(until([&] { return now() >= due; }, [] { return std::string("there"); }));
      MILLRACE_TRY(
          until([&] { return crew_.act(action, now()); }, [&] { return "nobody there to " + to_string(action); }));
      due = std::max(due, now() + -1s);  // what had to be waited for is not made up for in a burst
      ++(action.stop ? result_.stops : result_.kills);
    }
    return {};
  }

  // Everybody is there, and at work; and nothing grew.
  [[nodiscard]] Status settle() {
    MILLRACE_TRY(until([&] { return !crew_.any_stopped(); }, [] { return std::string("somebody stopped"); }));
    MILLRACE_TRY(
        until([&] { return bus_->status().has_value(); }, [] { return std::string("no word from the core"); }));
    MILLRACE_TRY(all_at_work());
    Usage late;
    MonotonicTime next{};
    const Status within = until(
        [&] {
          if (now() < next) return false;
          next = now() + 20ms;
          late = usage();
          return crew_.gateway_pid() != 0 && late.within(early_);
        },
        [&] { return "more than before the first kill: " + late.text() + "; it was " + early_.text(); });
    result_.usage = "before the first kill: " + early_.text() + "\nafter the last kill:   " + late.text();
    return within;
  }

  [[nodiscard]] Status end() {
    crew_.end(Victim::publisher);
    MILLRACE_TRY(all_gone(Victim::publisher));
    std::uint64_t recorded = 0;
    MILLRACE_TRY(until(
        [&] {
          const auto report = bus_->status();
          if (!report || report->topics.empty()) return false;
          recorded = report->topics.front()->recorded_end;
          return report->topics.front()->synced_end == recorded;
        },
        [] { return std::string("not all recorded events synced"); }));
    std::ofstream(crew_.end_file()) << recorded << '\n';
    for (const Victim kind : {Victim::subscriber, Victim::websocket}) crew_.end(kind);
    for (const Victim kind : {Victim::subscriber, Victim::websocket}) MILLRACE_TRY(all_gone(kind));
    bus_.reset();
    crew_.end(Victim::core);
    MILLRACE_TRY(all_gone(Victim::core));
    // Whoever loses its parent becomes a child of this process.
    return until(
        [] {
          while (::waitpid(-1, nullptr, WNOHANG) > 0) {
          }
          return children_of(::getpid()).empty();
        },
        [] { return std::string("a gateway there whose core is dead"); });
  }

  [[nodiscard]] Status all_gone(Victim kind) {
    return until([&] { return crew_.all_ended(kind); },
                 [&] { return "running, though told to end: " + crew_.running(kind); });
  }

  [[nodiscard]] Status judge_all() {
    Evidence evidence;
    std::vector<Place> places;
    auto log = records_of_log(crew_.log_folder());
    if (!log) return fail(log.error());
    evidence.log = std::move(*log);
    for (const auto& worker : crew_.workers()) {
      auto journal = read_journal(worker.journal(options_.folder));
      if (!journal) return fail(journal.error());
      places.push_back({worker.kind, worker.index, worker.level, *journal});
      if (worker.kind == Victim::publisher) {
        evidence.publishers[worker.index] = std::move(*journal);
      } else if (worker.kind == Victim::subscriber && worker.level == "live") {
        evidence.live[worker.name] = std::move(*journal);
      } else {
        evidence.followers[worker.name] = std::move(*journal);
      }
    }
    result_.verdict = judge(evidence);
    result_.stalls = report_stalls(places, crew_.incidents(), quiet_);
    return {};
  }

  const RoundOptions& options_;
  CrewProcesses crew_;
  std::unique_ptr<Bus> bus_;
  Span quiet_{};
  Usage early_;
  RoundResult result_;
};

}  // namespace

Result<RoundResult> run_round(const RoundOptions& options) {
  auto crew = CrewProcesses::make(options.programs, options.folder, options.crew, options.rate);
  if (!crew) return fail(crew.error());
  return Round(options, std::move(*crew)).run();
}

}  // namespace millrace::torture
