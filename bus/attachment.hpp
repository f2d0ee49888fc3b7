// What a client holds of the core's shared memory, and how it is replaced while the client lives: after the core dies
// a client keeps its mapping, and picks up the next attachment when the conductor has one.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bus/base/fd.hpp"
#include "bus/base/ids.hpp"
#include "bus/ring/order_ring.hpp"
#include "bus/ring/pages.hpp"
#include "bus/ring/ring.hpp"
#include "bus/ring/watermarks.hpp"
#include "wal/posix_file_system.hpp"

namespace millrace {

// Who sleeps on the core's watermarks looks so often whether the core is gone.
inline constexpr std::chrono::nanoseconds link_interval{10'000'000};

struct PublisherAttachment {
  std::vector<Mapping> memory;  // what the pointers below point into
  ring::Ring ring;
  const ring::Watermarks* marks;
  std::uint32_t stream;  // index of the ring in the topic
  PublisherId publisher;
  Epoch epoch;
  PageNumber first_page;   // where to begin
  Sequence last_sequence;  // last recorded one of this publisher: go on behind it
  ring::StallPolicy stall_policy;
  std::string log_folder;
  UniqueFd bell;                                       // an eventfd that wakes the recorder; may be none
  wal::FileSystem* files = &wal::posix_file_system();  // that the log lies on
};

// A durable consumer's hold on its name.
struct ConsumerHold {
  const ring::ConsumerMark* mark;
  std::uint64_t generation;
  Position checkpoint;  // as of the attachment
};

struct SubscriberAttachment {
  std::vector<Mapping> memory;
  std::vector<ring::Ring> rings;
  ring::OrderReader order;
  const ring::Watermarks* marks;
  ring::SubscriberPage* page;
  std::string log_folder;
  LogId log_id;
  Run run;
  std::optional<ConsumerHold> consumer{};
  wal::FileSystem* files = &wal::posix_file_system();  // that the log lies on
};

// Hands attachments from the conductor's thread to the thread of the publisher or subscriber.
template <class Attachment>
class Link {
 public:
  enum class State : int {
    attached,      // go on
    disconnected,  // the core is away
    replaced,      // take() the next attachment
    closed,        // the conductor gave up: see error()
  };

  // The owner's thread. An owner is made with its first attachment; the link brings the next ones.
  [[nodiscard]] State state() const { return state_.load(std::memory_order_acquire); }
  // The next attachment; null if it is not replaced (any more).
  [[nodiscard]] std::shared_ptr<Attachment> take() {
    const std::lock_guard lock(mutex_);
    if (state_.load(std::memory_order_relaxed) != State::replaced) return nullptr;
    state_.store(State::attached, std::memory_order_release);
    return std::move(next_);
  }
  [[nodiscard]] Error error() const {
    const std::lock_guard lock(mutex_);
    return error_;
  }

  // The conductor's thread.
  void disconnect() {
    const std::lock_guard lock(mutex_);
    if (state_.load(std::memory_order_relaxed) == State::closed) return;
    state_.store(State::disconnected, std::memory_order_release);
  }
  void replace(std::shared_ptr<Attachment> next) {
    const std::lock_guard lock(mutex_);
    next_ = std::move(next);
    state_.store(State::replaced, std::memory_order_release);
  }
  // The same core again: the attachment that the owner has is good.
  void resume() {
    const std::lock_guard lock(mutex_);
    state_.store(next_ ? State::replaced : State::attached, std::memory_order_release);
  }
  void close(Error why) {
    const std::lock_guard lock(mutex_);
    error_ = std::move(why);
    state_.store(State::closed, std::memory_order_release);
  }

 private:
  std::atomic<State> state_{State::attached};
  mutable std::mutex mutex_;
  std::shared_ptr<Attachment> next_;
  Error error_;
};

// What an owner is made with.
template <class Attachment>
struct Attached {
  std::shared_ptr<Link<Attachment>> link;
  std::shared_ptr<Attachment> first;
};

using PublisherLink = Link<PublisherAttachment>;
using SubscriberLink = Link<SubscriberAttachment>;

}  // namespace millrace
