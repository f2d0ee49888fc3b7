// The risk engine's loop: applies what its three inputs bring, judges the accounts that it touches, and says what there
// is to say on risk_alerts.
//
// How it comes back (README.md has the reasons): its memory is a function of the inputs up to their offsets, and of the
// alerts in the log. Each alert names the offsets at which it was judged. So an engine that starts again applies,
// without judging, what lies before those of the last alert in the log, and then judges all accounts and goes on: what
// stands is known from the log, so nothing is said twice, and nothing behind the last alert has been said.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "bus/base/agent.hpp"
#include "bus/publisher.hpp"
#include "bus/subscriber.hpp"
#include "subscribers/delayed/batcher.hpp"
#include "subscribers/delayed/risk/input_health.hpp"
#include "subscribers/delayed/risk/judge.hpp"
#include "subscribers/delayed/risk/limits.hpp"
#include "subscribers/delayed/risk/snapshot.hpp"
#include "wal/snapshot_folder.hpp"

namespace millrace::delayed::risk {

struct SnapshotPolicy {
  std::uint64_t every_events = 1'000'000;
  std::chrono::nanoseconds every = std::chrono::seconds(60);  // but not without an event in between
};

class Engine final : public Agent {
 public:
  using Job = std::function<Status()>;
  using RunAside = std::function<std::future<Status>(Job)>;
  // A thread for each.
  [[nodiscard]] static std::future<Status> run_aside(Job job) { return std::async(std::launch::async, std::move(job)); }

  struct Parts {
    std::array<Subscriber, kInputs> inputs;  // each from where the memory stands, at level synced
    // Of system.health; may be null. At level live: that a disk hangs is recorded when it hangs no more.
    Subscriber* health;
    bool* health_missed;  // its gaps set it
    // How things are, asked for then.
    std::function<Result<control::StatusReportT>()> status;
    Publisher* alerts;
    Memory memory;
    std::optional<Alert> last;  // in the log
    InputHealth input_health;
    wal::SnapshotFolder* snapshots;  // may be null
    RunAside run = run_aside;        // what writes them
  };
  // `limits` and what the parts point to outlive it.
  Engine(Parts parts, const Limits& limits, BatchLimits batches = {}, SnapshotPolicy policy = {});
  ~Engine() override;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  std::uint64_t do_work(MonotonicTime now) override;

  // Why it stands still, if it does.
  [[nodiscard]] const std::optional<Error>& error() const { return error_; }
  [[nodiscard]] const Memory& memory() const { return memory_; }
  // Still applies what was judged before.
  [[nodiscard]] bool coming_back() const { return coming_back_; }
  // Alerts that are not published yet.
  [[nodiscard]] std::size_t waiting() const { return waiting_.size(); }
  [[nodiscard]] std::uint64_t snapshots_written() const { return snapshots_written_; }

 private:
  struct Topic {
    std::unique_ptr<Batcher> batcher;
    Read* read;   // the memory's
    Offset back;  // coming back, it is read up to here
    const Batch* batch = nullptr;
    std::size_t taken = 0;  // of the batch
  };

  [[nodiscard]] Topic& topic(Input input) { return topics_[static_cast<std::size_t>(input)]; }
  [[nodiscard]] const Event* next(Input input, MonotonicTime now);
  std::uint64_t take(Input input, MonotonicTime now);
  void apply(Input input, const Event& event);
  void judge(std::string_view account);
  void judge_touched();
  void judge_all();
  void hear_health(bool away);
  void look_at_health();
  // Takes up what was found to say: it stands from now on, and waits to be published. `input`: the topic of its cause;
  // empty: each names its own.
  void say(const std::string& input, std::optional<Offset> cause);
  void publish_waiting();
  void write_snapshot(MonotonicTime now);
  [[nodiscard]] std::uint64_t events_read() const;

  Memory memory_;
  const Limits& limits_;
  Judge judge_;
  InputHealth input_health_;
  std::array<Topic, kInputs> topics_;
  Subscriber* health_;
  bool* health_missed_;
  std::function<Result<control::StatusReportT>()> status_;
  Publisher* alerts_;
  bool coming_back_ = true;
  std::vector<Alert> found_;
  std::set<std::string, std::less<>> touched_;  // instruments, since the accounts that hold them were judged
  std::deque<Alert> waiting_;
  std::optional<Alert> last_;  // in the log at the start
  std::pair<std::string, std::optional<Offset>> last_cause_;
  std::uint64_t cause_index_ = 0;

  wal::SnapshotFolder* snapshots_;
  RunAside run_;
  SnapshotPolicy policy_;
  Sequence recorded_;  // alerts at the start
  std::uint64_t snapshot_at_;
  std::optional<MonotonicTime> snapshot_time_;
  std::future<Status> writing_;
  std::uint64_t snapshots_written_ = 0;
  std::optional<Error> error_;
};

}  // namespace millrace::delayed::risk
