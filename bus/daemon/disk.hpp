// The threads that touch files: one records all topics of a volume, one runs their syncs and their rolls to the next
// segment, one keeps house: it prepares segments and deletes old ones. They may stand still in the kernel for as long
// as a bad disk likes; nobody else waits for them. Recording waits for neither of the others, but for the topic that
// rolls.
#pragma once

#include <concurrentqueue/blockingconcurrentqueue.h>
#include <concurrentqueue/concurrentqueue.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "bus/base/agent.hpp"
#include "bus/recorder/topic_recorder.hpp"

namespace millrace::daemon {

struct AdmitRequest {
  std::uint64_t token = 0;  // the asker's, given back
  std::size_t topic = 0;
  std::size_t stream = 0;
  PageNumber first_page;  // where the publisher will begin; all before it is recorded first
  std::string name;
  Incarnation incarnation;
};

struct Admitted {
  std::uint64_t token = 0;
  Result<Admission> result;
};

// A topic that a failure closed is to be opened again; `status` is the answer.
struct Reopen {
  std::uint64_t client = 0;  // the asker's, given back
  std::uint64_t correlation = 0;
  std::size_t topic = 0;
  Status status;
};

// What the control thread may know of a topic's recorder, copied whenever it changes.
struct RecorderReport {
  TopicRecorder::State state = TopicRecorder::State::ok;
  std::string failure;
  std::string housekeeping_failure;  // of the last piece of it; the topic goes on
  std::vector<std::string> stopped;  // a stream each: why its publisher is not recorded, empty if it is
  TopicRecorder::Counters counters;
  Offset first_offset;        // the oldest event there is
  wal::OverrunEdges overrun;  // below which durable consumers are in danger
};

class Disk {
 public:
  // `recorders`: one a topic; used by no other thread until stop() returned.
  Disk(std::vector<TopicRecorder*> recorders, const Clock& clock, std::unique_ptr<IdleStrategy> idle,
       std::optional<unsigned> cpu);
  ~Disk() { stop(); }

  void start();
  // Records and syncs what is committed, then ends the threads. Publishers should have stopped.
  void stop();

  // The control thread.
  void submit(AdmitRequest request) { requests_.enqueue(std::move(request)); }
  [[nodiscard]] std::optional<Admitted> take_admitted();
  void submit(Reopen request) { reopens_.enqueue(std::move(request)); }
  [[nodiscard]] std::optional<Reopen> take_reopened();
  // An eventfd: writing to it wakes the recorder.
  [[nodiscard]] int bell_fd() const { return bell_.get(); }
  [[nodiscard]] RecorderReport report(std::size_t topic) const;
  // When the I/O under way that publishers depend on began; nullopt if none is. Judges the disk, never the thread.
  // Housekeeping counts only while a full segment waits for its successor's file: nobody feels it before.
  [[nodiscard]] std::optional<MonotonicTime> in_io_since() const;

 private:
  struct Sync {
    std::size_t topic = 0;
    std::optional<wal::SyncTicket> ticket;
    Status status;
    bool awaited = false;  // by somebody: the recorder is woken
  };
  struct Chore {
    std::size_t topic = 0;
    std::optional<TopicRecorder::Chore> chore;
    Status status;
  };
  struct Waiting {
    AdmitRequest request;
    std::optional<Admission> admission;  // once appended: its sync is awaited
  };

  class Recording final : public Agent {
   public:
    explicit Recording(Disk& disk) : disk_(disk) {}
    std::uint64_t do_work(MonotonicTime now) override { return disk_.record(now); }
    void on_close() override { disk_.finish(); }

   private:
    Disk& disk_;
  };
  class Syncing final : public Agent {
   public:
    explicit Syncing(Disk& disk) : disk_(disk) {}
    std::uint64_t do_work(MonotonicTime now) override { return disk_.sync(now); }

   private:
    Disk& disk_;
  };

  class Housekeeping final : public Agent {
   public:
    explicit Housekeeping(Disk& disk) : disk_(disk) {}
    std::uint64_t do_work(MonotonicTime) override { return disk_.keep_house(); }

   private:
    Disk& disk_;
  };

  std::uint64_t record(MonotonicTime now);
  std::uint64_t sync(MonotonicTime now);
  std::uint64_t keep_house();
  void hand_out_chore(MonotonicTime now, WallTime wall, bool idle);
  void take_back(const Chore& done, MonotonicTime now);
  void finish();
  std::uint64_t admit();
  std::uint64_t reopen();
  void publish_report(std::size_t topic);

  std::vector<TopicRecorder*> recorders_;
  const Clock& clock_;
  UniqueFd bell_;
  moodycamel::ConcurrentQueue<AdmitRequest> requests_;
  moodycamel::ConcurrentQueue<Reopen> reopens_;
  moodycamel::ConcurrentQueue<Reopen> reopened_;
  moodycamel::ConcurrentQueue<Admitted> admitted_;
  moodycamel::BlockingConcurrentQueue<Sync> to_sync_;
  moodycamel::ConcurrentQueue<Sync> synced_;
  moodycamel::BlockingConcurrentQueue<Chore> to_do_;
  moodycamel::ConcurrentQueue<Chore> done_;
  bool chore_out_ = false;       // one at a time, so that one that is needed waits for no more than one
  std::size_t chores_next_ = 0;  // the topic whose turn it is
  bool finishing_ = false;
  std::vector<Waiting> waiting_;
  std::atomic<std::int64_t> recording_since_{0};
  std::atomic<std::int64_t> syncing_since_{0};
  std::atomic<std::int64_t> keeping_house_since_{0};
  std::atomic<bool> house_awaited_{false};
  mutable std::mutex reports_mutex_;
  std::vector<RecorderReport> reports_;
  MonotonicTime reported_;
  Recording recording_;
  Syncing syncing_;
  Housekeeping housekeeping_;
  AgentRunner recorder_thread_;
  AgentRunner sync_thread_;
  AgentRunner housekeeping_thread_;
};

}  // namespace millrace::daemon
