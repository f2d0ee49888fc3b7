// Publishes events into a ring: typed (built in the page), raw (claim, fill, commit) or in batches. Waits for nothing;
// no call blocks, sleeps or enters the kernel. One thread.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "bus/attachment.hpp"
#include "bus/base/fast_clock.hpp"
#include "bus/reoffer.hpp"
#include "bus/ring/writer.hpp"
#include "schemas/event_key.hpp"
#include "schemas/event_template.hpp"
#include "schemas/registry.hpp"

namespace millrace {

enum class PublishStatus {
  ok,
  back_pressured,  // no page free, under stall policy block: try again; nothing was published
  refused,         // no page free, under stall policy refuse: nothing was published, no sequence used
  too_large,       // the event, or the batch with it, exceeds a page
  invalid,         // the payload fails its type's verifier
  disconnected,    // the core is away; the conductor reconnects: try again
  closed,          // for good: see Publisher::error()
};
[[nodiscard]] std::string_view to_string(PublishStatus status);

struct Published {
  PublishStatus status = PublishStatus::ok;
  Sequence sequence;  // if ok

  [[nodiscard]] explicit operator bool() const { return status == PublishStatus::ok; }
};

namespace testing {
class MemoryBus;
}

class Publisher {
 public:
  // Made by Bus::publisher(). `type`: of the topic's events, outlives the publisher.
  Publisher(Attached<PublisherAttachment> attached, const schemas::EventType& type,
            const Clock& clock = system_clock());

  // Builds an event of fixed shape in the page: a copy of the type's template, which `fill(T&)` completes through its
  // mutable fields. `cause`: the input event that led to this one, by its offset.
  template <class T, class Fill>
  [[nodiscard]] Published publish(Fill&& fill, std::optional<Cause> cause = std::nullopt) {
    static const schemas::EventTemplate<T> event;
    const auto claim = this->claim(event.bytes().size());
    if (claim.status != PublishStatus::ok) return {claim.status, {}};
    T* const table = event.instantiate(claim.payload);
    fill(*table);
    Key key;
    if constexpr (requires { schemas::event_key(*table); }) {
      key = schemas::event_key(*table);
    } else {
      key = type_->key(claim.payload);
    }
    return {PublishStatus::ok, commit_unchecked(key, cause, claim.payload.size())};
  }

  // Copies a finished payload, verified first.
  [[nodiscard]] Published publish(std::span<const std::byte> payload, std::optional<Cause> cause = std::nullopt);

  struct Claim {
    PublishStatus status = PublishStatus::disconnected;
    std::span<std::byte> payload;  // in the page, 8-byte aligned
  };
  // Room for `size` bytes of payload; then commit() or abort(). One claim at a time.
  [[nodiscard]] Claim claim(std::size_t size);
  // Verifies the first `size` bytes of the claim and publishes them; `invalid` leaves the claim open.
  [[nodiscard]] Published commit(std::size_t size, std::optional<Cause> cause = std::nullopt);
  void abort();

  // What is committed in between becomes visible at once and is recorded whole or not at all; it must fit one page.
  void begin_batch() { writer_->begin_batch(); }
  void end_batch() { writer_->end_batch(); }

  // Tells that this publisher lives though it has nothing to say. Also picks up a new attachment.
  void idle();

  [[nodiscard]] PublisherId id() const { return attachment_->publisher; }
  [[nodiscard]] Epoch epoch() const { return attachment_->epoch; }
  // The next event's.
  [[nodiscard]] Sequence next_sequence() const { return writer_->next_sequence(); }
  // The last one that is in the log, or on the disk; 0 if none.
  [[nodiscard]] Sequence recorded_sequence() const;
  [[nodiscard]] Sequence synced_sequence() const;
  // Why it is closed.
  [[nodiscard]] Error error() const { return link_->error(); }
  // Times that no page was free.
  [[nodiscard]] std::uint64_t back_pressured() const { return back_pressured_; }

 private:
  friend class testing::MemoryBus;

  [[nodiscard]] PublishStatus ready();
  void adopt(std::shared_ptr<PublisherAttachment> next);
  [[nodiscard]] PublishStatus no_page();
  Sequence commit_unchecked(Key key, std::optional<Cause> cause, std::size_t size) {
    return writer_->commit({type_->id(), key, cause ? cause->offset.value() + 1 : 0, clock_.now(),
                            cause ? cause->index : std::uint16_t{0}},
                           size);
  }

  std::shared_ptr<PublisherLink> link_;
  const schemas::EventType* type_;
  FastClock clock_;
  std::shared_ptr<PublisherAttachment> attachment_;
  std::optional<ring::Writer> writer_;
  std::optional<Reoffer> reoffer_;  // of what the core before this one had not recorded
  std::span<std::byte> claimed_;
  std::uint64_t back_pressured_ = 0;
};

inline Publisher::Claim Publisher::claim(std::size_t size) {
  if (link_->state() != PublisherLink::State::attached || reoffer_) [[unlikely]] {
    if (const PublishStatus status = ready(); status != PublishStatus::ok) return {status, {}};
  }
  const auto claim = writer_->claim(size);
  switch (claim.status) {
    case ring::ClaimStatus::ok:
      break;
    case ring::ClaimStatus::back_pressured:
      return {no_page(), {}};
    case ring::ClaimStatus::too_large:
      return {PublishStatus::too_large, {}};
  }
  claimed_ = claim.payload;
  return {PublishStatus::ok, claim.payload};
}

}  // namespace millrace
