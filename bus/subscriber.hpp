// A subscription to one topic at a stated level. One thread.
#pragma once

#include <flatbuffers/flatbuffers.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <variant>

#include "bus/event.hpp"
#include "bus/follower.hpp"
#include "bus/live_reader.hpp"
#include "schemas/registry.hpp"

namespace millrace {

class Subscriber {
 public:
  // Made by Bus::subscribe(). `type`: of the topic's events, outlives the subscriber.
  Subscriber(LiveReader reader, const schemas::EventType& type) : source_(std::move(reader)), type_(&type) {}
  Subscriber(Follower follower, const schemas::EventType& type) : source_(std::move(follower)), type_(&type) {}

  // Hands at most `limit` events to `handler(const Event&)`, each verified unless verify(false) was said; returns how
  // many. Their memory is valid until the next poll.
  template <class Handler>
  std::size_t poll(Handler&& handler, std::size_t limit = 256) {
    return std::visit([&](auto& source) { return poll_from(source, handler, limit); }, source_);
  }

  // The same with the event's table: handler(const T&, const Event&). T is the type of the topic's events.
  template <class T, class Handler>
  std::size_t poll(Handler&& handler, std::size_t limit = 256) {
    return poll([&](const Event& event) { handler(*flatbuffers::GetRoot<T>(event.payload().data()), event); }, limit);
  }

  // Reading an event that its publisher did not build right is undefined; verifying costs about 20 ns. Default on.
  void verify(bool on) { verify_ = on; }
  // Tells that this subscriber lives though it does not poll.
  void idle() { bump_progress(); }

  // Sleeps until there is something to poll, at most `timeout`; true: there may be. At level live nothing tells: true
  // at once.
  [[nodiscard]] bool wait(std::chrono::nanoseconds timeout) {
    bump_progress();
    return follower() == nullptr || follower()->wait(timeout);
  }
  // See Follower::ack. Errors: invalid_argument, fenced.
  [[nodiscard]] Status ack(Offset end) {
    if (follower() == nullptr) return fail(ErrorCode::invalid_argument, "level live has no offsets to acknowledge");
    return follower()->ack(end);
  }

  // Why nothing will come any more, if so.
  [[nodiscard]] std::optional<Error> error() const {
    return std::visit([](const auto& source) { return std::optional<Error>(source.error()); }, source_);
  }
  // At levels recorded and synced; null at live.
  [[nodiscard]] Follower* follower() { return std::get_if<Follower>(&source_); }
  // Of the topic's events.
  [[nodiscard]] const schemas::EventType& type() const { return *type_; }
  // Events that failed their verifier, and were left out.
  [[nodiscard]] std::uint64_t invalid() const { return invalid_; }

 private:
  template <class Source, class Handler>
  std::size_t poll_from(Source& source, Handler& handler, std::size_t limit) {
    std::size_t count = 0;
    while (count < limit) {
      const std::optional<Event> event = source.next();
      if (!event) break;
      ++count;
      if (verify_ && !type_->verify(event->payload())) [[unlikely]] {
        ++invalid_;
        continue;
      }
      handler(*event);
    }
    bump_progress();
    return count;
  }
  void bump_progress() {
    std::visit(
        [](auto& source) {
          if (const auto& attachment = source.attachment()) {
            ring::Word& progress = attachment->page->state.progress;
            progress.store(progress.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
          }
        },
        source_);
  }

  std::variant<LiveReader, Follower> source_;
  const schemas::EventType* type_;
  bool verify_ = true;
  std::uint64_t invalid_ = 0;
};

}  // namespace millrace
