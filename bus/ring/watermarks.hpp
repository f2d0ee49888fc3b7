// How far the recorder is, in one memory page a topic: written by the core, mapped read-only by everybody, so that
// nobody asks for an acknowledgement: it is looked at, or slept on.
#pragma once

#include <cstdint>
#include <optional>

#include "bus/base/futex.hpp"
#include "bus/base/limits.hpp"
#include "bus/ring/layout.hpp"

namespace millrace::ring {

// Both ends are the first offset (or sequence) that is not there yet.
struct alignas(limits::cache_line) TopicMarks {
  Word recorded_end;  // written to the log: survives every process
  Word synced_end;    // on the disk: survives the host
  Word record_time;   // wall-clock nanoseconds of the newest recorded batch
  Word run;           // of the log: up by one where offsets may be given out again
  Word run_begin;     // the first offset of the run: what was recorded before it stands
  Word losses;        // LossMarks written so far
  // Counted up with every step of the words that the level is read from, and when a topic fails or comes back.
  FutexWord recorded_news;
  FutexWord synced_news;
  FutexWord consumed_news;
  // Counted up when a write or sync failed, and when the topic is reopened: odd while nothing is recorded.
  FutexWord failures;

  [[nodiscard]] bool failed() const { return failures.load(std::memory_order_acquire) % 2 != 0; }
};
static_assert(sizeof(TopicMarks) == limits::cache_line);

struct alignas(limits::cache_line) StreamMarks {
  Word publisher;  // PublisherId that has the ring, 0 if none
  Word epoch;
  Word recorded_sequence;  // last one recorded, or declared a loss
  Word synced_sequence;    // likewise synced
  Word first_page;         // from here on the ring's pages are that publisher's; 0 if they are nobody's
  // Who had the ring before.
  Word earlier_publisher;
  Word earlier_epoch;
  Word earlier_first_page;
};
static_assert(sizeof(StreamMarks) == limits::cache_line);

// Events `from` to `to`, both included, that the log will never have. Without an end: what a publisher that is not
// heard any more commits in this epoch.
struct LossMark {
  Word publisher;
  Word epoch;
  Word from;
  Word to;
};

// A durable consumer. Everything before `acked` is acknowledged, durably.
struct ConsumerMark {
  Word key;         // key_of() its name; 0: no consumer
  Word generation;  // of its owner: an older one's acknowledgements count no more
  Word acked;
  Word reserved;
};

struct Watermarks {
  TopicMarks topic;
  StreamMarks streams[limits::publishers_max];
  LossMark losses[limits::losses_kept];  // the newest, number n at n % losses_kept
  ConsumerMark consumers[limits::durable_consumers];

  [[nodiscard]] const ConsumerMark* find_consumer(Key key) const {
    for (const ConsumerMark& mark : consumers) {
      if (mark.key.load(std::memory_order_acquire) == key.value()) return &mark;
    }
    return nullptr;
  }
};
static_assert(sizeof(Watermarks) <= limits::memory_page);

struct Loss {
  static constexpr Sequence no_end{~std::uint64_t{0}};

  PublisherId publisher;
  Epoch epoch;
  Sequence from;
  Sequence to;
};

struct PageOwner {
  PublisherId publisher;
  Epoch epoch;
};

// The core's side: the ring's pages from `first` on are that publisher's.
inline void append_owner(StreamMarks& marks, const PageOwner& owner, PageNumber first) {
  constexpr auto release = std::memory_order_release;
  const std::uint64_t before = marks.first_page.load(std::memory_order_relaxed);
  if (before != first.value()) {  // else it never had a page
    marks.earlier_first_page.store(0, release);
    marks.earlier_publisher.store(marks.publisher.load(std::memory_order_relaxed), release);
    marks.earlier_epoch.store(marks.epoch.load(std::memory_order_relaxed), release);
    marks.earlier_first_page.store(before, release);
  }
  marks.first_page.store(0, release);
  marks.publisher.store(owner.publisher.value(), release);
  marks.epoch.store(owner.epoch.value(), release);
  marks.first_page.store(first.value(), release);
}

// Whose the page is: the core's word, where the page's own may be its publisher's. nullopt for one that is older than
// the last two publishers.
[[nodiscard]] inline std::optional<PageOwner> owner_of(const StreamMarks& marks, PageNumber page) {
  const auto look = [page](const Word& first, const Word& publisher, const Word& epoch) -> std::optional<PageOwner> {
    constexpr auto acquire = std::memory_order_acquire;
    const std::uint64_t from = first.load(acquire);
    const PageOwner owner{PublisherId(publisher.load(acquire)), Epoch(epoch.load(acquire))};
    if (from == 0 || page.value() < from || first.load(acquire) != from) return std::nullopt;
    return owner;
  };
  if (const auto owner = look(marks.first_page, marks.publisher, marks.epoch)) return owner;
  return look(marks.earlier_first_page, marks.earlier_publisher, marks.earlier_epoch);
}

// The core's side of the losses.
inline void append_loss(Watermarks& marks, const Loss& loss) {
  const std::uint64_t number = marks.topic.losses.load(std::memory_order_relaxed);
  LossMark& mark = marks.losses[number % limits::losses_kept];
  mark.publisher.store(loss.publisher.value(), std::memory_order_release);
  mark.epoch.store(loss.epoch.value(), std::memory_order_release);
  mark.from.store(loss.from.value(), std::memory_order_release);
  mark.to.store(loss.to.value(), std::memory_order_release);
  marks.topic.losses.store(number + 1, std::memory_order_release);
}

// Loss `number`; nullopt if newer ones have overwritten it.
[[nodiscard]] inline std::optional<Loss> read_loss(const Watermarks& marks, std::uint64_t number) {
  constexpr auto acquire = std::memory_order_acquire;
  const LossMark& mark = marks.losses[number % limits::losses_kept];
  const Loss loss{PublisherId(mark.publisher.load(acquire)), Epoch(mark.epoch.load(acquire)),
                  Sequence(mark.from.load(acquire)), Sequence(mark.to.load(acquire))};
  // The one being written takes the place of the oldest.
  if (marks.topic.losses.load(acquire) >= number + limits::losses_kept) return std::nullopt;
  return loss;
}

// What a subscription shares with the core: one memory page that the core made for this one reader, who writes it.
struct SubscriberPage {
  struct alignas(limits::cache_line) {
    Word progress;  // bumped by poll and idle()
    Word position;  // next offset wanted, for the lag shown in status; 0 at level live
    Word acked;     // of a durable consumer: everything before it is acknowledged
  } state;
  Word leases[limits::publishers_max];  // page it is in, a ring each; 0 = none
};
static_assert(sizeof(SubscriberPage) <= limits::memory_page);

}  // namespace millrace::ring
