// Has the checkpoints of all topics' durable consumers stored, by a thread of its own, and answers those whose request
// counts only once it is on the disk.
#pragma once

#include <concurrentqueue/blockingconcurrentqueue.h>
#include <concurrentqueue/concurrentqueue.h>

#include <functional>
#include <memory>
#include <vector>

#include "bus/base/agent.hpp"
#include "bus/control/server.hpp"
#include "bus/daemon/topic.hpp"
#include "wal/checkpoints.hpp"

namespace millrace::daemon {

class ConsumerStore {
 public:
  // An answer that waits for the disk; the error instead of it, if the disk will not have it.
  struct Waiting {
    std::size_t topic = 0;
    std::uint64_t change = 0;  // of the topic's Consumers
    control::ClientId client = 0;
    std::uint64_t subscription = 0;  // 0: the answer has no descriptors
    control::MessageT answer;
  };
  using Answer = std::function<void(Waiting, const Status&)>;

  // `checkpoints`: one a topic, as opened. `answer` is called on the control thread.
  ConsumerStore(std::vector<std::unique_ptr<Topic>>& topics, std::vector<wal::Checkpoints> checkpoints, Answer answer,
                const Clock& clock);
  ~ConsumerStore() { stop(); }

  void start() { thread_.start(); }
  // Ends the thread, then stores on the caller's what was acknowledged last. Errors: those of storing.
  void stop();

  // The control thread.
  void wait(Waiting waiting) { waiting_.push_back(std::move(waiting)); }
  std::uint64_t do_work(MonotonicTime now);

 private:
  struct Store {
    std::size_t topic = 0;
    std::vector<wal::ConsumerRecord> records;
    Status status;
  };
  class Storing final : public Agent {
   public:
    explicit Storing(ConsumerStore& store) : store_(store) {}
    std::uint64_t do_work(MonotonicTime) override { return store_.store(); }

   private:
    ConsumerStore& store_;
  };

  std::uint64_t store();
  void complete(const Store& done);

  std::vector<std::unique_ptr<Topic>>& topics_;
  std::vector<wal::Checkpoints> checkpoints_;  // the thread's, between start() and stop()
  Answer answer_;
  const Clock& clock_;
  std::vector<Waiting> waiting_;
  MonotonicTime looked_;
  moodycamel::BlockingConcurrentQueue<Store> to_store_;
  moodycamel::ConcurrentQueue<Store> stored_;
  bool stopped_ = false;
  Storing storing_;
  AgentRunner thread_;
};

}  // namespace millrace::daemon
