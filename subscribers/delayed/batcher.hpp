// Closes the events of one topic into batches by age, by count or by bytes, whichever comes first: for who pays by the
// batch (a database) or judges by the batch (risk). Built on a follower, so no event is missing and none comes twice.
//
//   Batcher batcher(std::move(*subscriber), "trade_events", {});
//   while (running) {
//     const auto now = system_clock().monotonic();
//     if (const Batch* batch = batcher.poll(now)) {
//       store(*batch);
//       if (!batcher.ack()) return;  // fenced: another process has the name
//     } else if (batcher.error()) {
//       return;
//     } else {
//       batcher.wait(batcher.due() ? *batcher.due() - now : 100ms);
//     }
//   }
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bus/subscriber.hpp"

namespace millrace::delayed {

struct BatchLimits {
  std::chrono::nanoseconds age = std::chrono::milliseconds(100);  // since its first event was read
  std::size_t events = 10'000;                                    // at least 1; with those left out
  std::size_t bytes = 4 << 20;                                    // of frames; one event alone may have more
};

enum class Closed {
  age,
  count,
  bytes,  // the next event would not have fitted
  gap,    // the next batch begins with one
  end,    // flush(), or nothing will come any more
};
[[nodiscard]] std::string_view to_string(Closed why);

// Events in log order; they lie in the batcher's own memory, 8-byte aligned.
struct Batch {
  std::string_view topic;
  Offset first;
  Offset end;                     // one past the last: what ack() acknowledges
  std::span<const Event> events;  // fewer than end - first if some failed their verifier, see Batcher::invalid()
  WallTime newest;                // record time of the last
  // What was missed or taken back just before `first`. After a rolled_back all that was handed out from its void_from
  // on is void: `first` is at most that, and it comes anew.
  std::span<const Gap> gaps;
  Closed why;
};

// One topic; one thread. Each event is copied once, from its page into the batch. Memory: twice `limits.bytes`, of
// which only what was once used is resident.
//
// A durable consumer acknowledges a batch as a whole. After a crash its next owner is handed all that was not
// acknowledged again, cut as before or later: a batch is closed by age only once nothing more is there to be read.
class Batcher {
 public:
  // `subscriber`: at level recorded or synced; its gaps are reported in batches from now on.
  Batcher(Subscriber subscriber, std::string topic, BatchLimits limits);
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;

  // A closed batch, or nullptr if none is full yet. The same one again until ack() or next(), valid until then.
  [[nodiscard]] const Batch* poll(MonotonicTime now);
  // As poll(), closing what there is whatever its age; nullptr if there is nothing.
  [[nodiscard]] const Batch* flush(MonotonicTime now);
  // Of a durable consumer: the batch that poll() gave is dealt with. Errors: those of Subscriber::ack; the batch stays.
  [[nodiscard]] Status ack();
  // The same without acknowledging.
  void next();

  // When poll() will close the batch it is filling; nullopt if that is empty.
  [[nodiscard]] std::optional<MonotonicTime> due() const;
  // Sleeps until there is something to read, at most `timeout`. True: there is, or there may be.
  bool wait(std::chrono::nanoseconds timeout);
  // Why nothing will come any more, if so, behind the batches that poll() still has.
  [[nodiscard]] std::optional<Error> error() const { return subscriber_.error(); }
  // Events that failed their verifier, and were left out.
  [[nodiscard]] std::uint64_t invalid() const { return invalid_; }
  // To tell how fresh its input is, and what is durably acknowledged.
  [[nodiscard]] const Follower& follower() const { return *follower_; }

 private:
  // What a batch is made of. Its memory never moves while events lie in it.
  struct Content {
    std::unique_ptr<std::byte[]> memory;
    std::size_t capacity = 0;
    std::size_t used = 0;
    std::vector<Event> events;
    std::vector<Gap> gaps;  // before the first event
    Offset first;
    Offset end;  // as `first`: nothing is in it
    WallTime newest;
    MonotonicTime opened;

    [[nodiscard]] bool empty() const { return end == first; }
  };

  [[nodiscard]] std::optional<Closed> fill(MonotonicTime now);
  void take(Content& into, const Event& event, MonotonicTime now);
  void note(const Gap& gap);
  const Batch* close(Closed why);

  Subscriber subscriber_;
  Follower* follower_;  // the subscriber's
  std::string topic_;
  BatchLimits limits_;
  Content filling_;
  Content closed_;         // what batch_ shows; else empty
  std::vector<Gap> gaps_;  // before the next event
  std::optional<Batch> batch_;
  std::uint64_t invalid_ = 0;
};

}  // namespace millrace::delayed
