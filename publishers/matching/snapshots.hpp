// Takes snapshots of a running engine, and leaves its loop for no disk.
//
// The loop is held up for as long as the state takes to be copied into memory, between two orders: about 0.1 ms for
// each thousand resting orders. Then the copy waits, beside the running engine, until every event that it has behind it
// is on the disk: an engine that starts from it will never make those again, so a snapshot that survives them would
// lose them. Only then it is written, by a thread of its own.
#pragma once

#include <chrono>
#include <functional>
#include <future>
#include <optional>

#include "bus/base/clock.hpp"
#include "publishers/matching/outlet.hpp"
#include "publishers/matching/snapshot_store.hpp"
#include "publishers/matching/topic_source.hpp"

namespace millrace::matching {

struct SnapshotPolicy {
  std::uint64_t every_orders = 100'000;
  std::chrono::nanoseconds every = std::chrono::seconds(60);  // but not without an order in between
};

// One thread.
class Snapshots {
 public:
  using Job = std::function<Status()>;
  using Run = std::function<std::future<Status>(Job)>;
  // A thread for each.
  [[nodiscard]] static std::future<Status> run_aside(Job job) { return std::async(std::launch::async, std::move(job)); }

  // All but the last two outlive it. `begin`: where the engine stands, as far as a snapshot is there.
  struct Engine {
    const Venue& venue;
    const TopicSource& source;
    const BusOutlet& outlet;
  };
  Snapshots(Engine engine, SnapshotStore& store, Offset begin, SnapshotPolicy policy, Run run = run_aside)
      : engine_(engine), store_(store), policy_(policy), run_(std::move(run)), last_(begin) {}
  ~Snapshots();
  Snapshots(const Snapshots&) = delete;
  Snapshots& operator=(const Snapshots&) = delete;

  // Call between two orders, when everything that the last one led to is published.
  void do_work(MonotonicTime now);

  [[nodiscard]] std::uint64_t written() const { return written_; }
  // Why the last one could not be written, if so. The next is tried when it is due.
  [[nodiscard]] const std::optional<Error>& failure() const { return failure_; }

 private:
  void collect();
  [[nodiscard]] bool due(Offset at, MonotonicTime now);

  Engine engine_;
  SnapshotStore& store_;
  SnapshotPolicy policy_;
  Run run_;
  Offset last_;  // where the last one taken stands
  std::optional<MonotonicTime> taken_;
  std::optional<Snapshot> waiting_;  // for its outputs to be on the disk
  std::future<Status> job_;
  std::uint64_t written_ = 0;
  std::optional<Error> failure_;
};

}  // namespace millrace::matching
