// Publishes events into a ring: typed (built in the page), raw (claim, fill, commit) or in batches. Publishing waits
// for nothing: no such call blocks, sleeps or enters the kernel. Who wants to know what became of an event awaits it.
// One thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "bus/attachment.hpp"
#include "bus/base/ack.hpp"
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

struct AwaitOptions {
  std::chrono::nanoseconds timeout = std::chrono::seconds(1);
  unsigned attempts = 3;  // time-outs before `timed_out` is the answer
};

// The last event of a publisher that the log has: where one that was started anew goes on.
struct LastRecorded {
  Offset offset;
  Sequence sequence;
  std::optional<Cause> cause;
  std::vector<std::byte> payload;
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
  void begin_batch() { set_batch(true); }
  void end_batch() { set_batch(false); }

  // Tells that this publisher lives though it has nothing to say. Also picks up a new attachment.
  void idle();

  [[nodiscard]] PublisherId id() const { return attachment_->publisher; }
  [[nodiscard]] Epoch epoch() const { return attachment_->epoch; }
  // The next event's.
  [[nodiscard]] Sequence next_sequence() const { return writer_->next_sequence(); }
  // The last one that is in the log, or on the disk; 0 if none.
  [[nodiscard]] Sequence recorded_sequence() const;
  [[nodiscard]] Sequence synced_sequence() const;

  // Sleeps until the event, and with it all before it, is acknowledged. A time-out is waited out `attempts` times; then
  // it is not known yet, and outcome() tells later. Offers again by itself what a dead core had not recorded: whatever
  // the answer is, nothing is to be published again.
  [[nodiscard]] Acknowledgement await(Sequence sequence, const Ack& ack, AwaitOptions options = {});
  // The same without sleeping: what is known now, timed_out if nothing is.
  [[nodiscard]] AckStatus acknowledged(Sequence sequence, const Ack& ack);
  [[nodiscard]] PublishPosition position_of(Sequence sequence) const { return {id(), epoch(), sequence}; }
  // What became of an event of this publisher's name, whichever process published it. Looks into the log if need be.
  // Errors: deleted (retention has passed it), and what reading the log says.
  [[nodiscard]] Result<Outcome> outcome(const PublishPosition& position) const;
  // nullopt if the log has none (any more). Errors: what reading the log says.
  [[nodiscard]] Result<std::optional<LastRecorded>> last_recorded() const;

  // Why it is closed.
  [[nodiscard]] Error error() const { return link_->error(); }
  // Times that no page was free.
  [[nodiscard]] std::uint64_t back_pressured() const { return back_pressured_; }

 private:
  friend class testing::MemoryBus;

  [[nodiscard]] PublishStatus ready();
  void adopt(std::shared_ptr<PublisherAttachment> next);
  [[nodiscard]] PublishStatus no_page();
  [[nodiscard]] AckStatus look_at_log(Sequence sequence, bool synced) const;
  [[nodiscard]] AckStatus look_at_consumer(Sequence sequence, const std::string& name);
  void want(Sequence sequence, const Ack& ack);
  void set_batch(bool open) {
    in_batch_ = open;
    if (!reoffer_) follow_batch();  // else once it is through
  }
  void follow_batch() { in_batch_ ? writer_->begin_batch() : writer_->end_batch(); }
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
  bool in_batch_ = false;
  std::uint64_t back_pressured_ = 0;
  std::pair<Sequence, Offset> located_{Sequence(), Offset()};  // the event last asked for in a consumer's name
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
