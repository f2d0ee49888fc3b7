// Takes events from the source on a thread of its own and hands them, copied and verified, to the network's thread.
#pragma once

#include <concurrentqueue/concurrentqueue.h>

#include <atomic>
#include <cstddef>
#include <functional>
#include <variant>
#include <vector>

#include "bus/base/agent.hpp"
#include "bus/base/clock.hpp"
#include "subscribers/realtime/counters.hpp"
#include "subscribers/realtime/event_block.hpp"
#include "subscribers/realtime/event_source.hpp"

namespace millrace::gateway {

// What the source says of itself, taken every quarter of a second so that only the feeder's thread asks it.
struct Snapshot {
  std::vector<TopicInfo> topics;
  std::vector<std::vector<PublisherInfo>> publishers;  // by topic
  Health health;
  MonotonicTime taken;
};
[[nodiscard]] Snapshot take_snapshot(EventSource& source, MonotonicTime now);

struct TopicEvents {
  std::size_t topic = 0;
  EventBlock events;
};

struct SyncedEnd {
  std::size_t topic = 0;
  Offset end;
};

struct RunBegan {
  std::size_t topic = 0;
  RunBegin run;
};

class Feeder final : public Agent {
 public:
  using Update = std::variant<TopicEvents, SyncedEnd, RunBegan, Snapshot>;

  // `wake` is called on the feeder's thread after it handed something over to a reader that had run dry.
  Feeder(EventSource& source, Counters& counters, std::vector<TopicInfo> topics, std::size_t bytes_max,
         std::function<void()> wake);

  std::uint64_t do_work(MonotonicTime now) override;

  // On the network's thread: hands everything there is to `take(Update&&)`. To be called once after each wake.
  template <class Take>
  void drain(Take&& take) {
    // Before the queue is emptied: what comes after the last look wakes again.
    woken_.store(false);
    Update update;
    while (queue_.try_dequeue(update)) {
      if (const auto* events = std::get_if<TopicEvents>(&update)) pending_.fetch_sub(events->events.bytes());
      take(std::move(update));
    }
  }

 private:
  void hand_over(Update update);
  // Returns how many topics have more on the disk than was told.
  [[nodiscard]] std::uint64_t look_at_sync();

  EventSource& source_;
  Counters& counters_;
  std::vector<TopicInfo> topics_;
  std::vector<EventBlock> gathering_;  // by topic
  std::vector<Offset> synced_;         // by topic: told last
  std::vector<Run> runs_;              // likewise
  std::size_t bytes_max_;
  std::function<void()> wake_;
  MonotonicTime snapshot_at_;
  moodycamel::ConcurrentQueue<Update> queue_;
  std::atomic<std::size_t> pending_{0};  // bytes in the queue
  std::atomic<bool> woken_{false};
};

}  // namespace millrace::gateway
