#include "bus/live_reader.hpp"

#include <immintrin.h>

#include <algorithm>

#include "bus/base/limits.hpp"

namespace millrace {
namespace {

// The first frame's lines come from the publisher's core one by one if they are asked for one by one.
void prefetch(std::span<const std::byte> bytes) {
  constexpr std::size_t lines = 4;
  const std::size_t ahead = std::min(bytes.size(), lines * limits::cache_line);
  for (std::size_t at = 0; at < ahead; at += limits::cache_line) __builtin_prefetch(bytes.data() + at);
}

// A reader right behind its publisher takes the commit word's line from it with each look, and the publisher waits to
// have it back. So where look after look finds a little, it lets more and more gather, up to some 0.7 us. An event that
// comes alone is not waited for: the look after it finds nothing.
void let_gather(std::size_t taken, unsigned& pauses) {
  constexpr std::size_t little = 8192;
  constexpr unsigned pauses_max = 31;
  if (taken >= little) return;
  for (unsigned i = 0; i < pauses; ++i) _mm_pause();
  pauses = std::min(2 * pauses + 1, pauses_max);
}

}  // namespace

LiveReader::LiveReader(Attached<SubscriberAttachment> attached, OnGap on_gap)
    : link_(std::move(attached.link)), on_gap_(std::move(on_gap)) {
  adopt(std::move(attached.first));
  for (Stream& stream : streams_) stream.reader.join_at_tail();
  losses_seen_ = attachment_->marks->topic.losses.load(std::memory_order_acquire);
}

void LiveReader::adopt(std::shared_ptr<SubscriberAttachment> next) {
  streams_.clear();
  attachment_ = std::move(next);
  for (std::size_t i = 0; i < attachment_->rings.size(); ++i) {
    streams_.emplace_back(Stream{ring::Reader(attachment_->rings[i], attachment_->page->leases[i])});
    // After the core was replaced everything in the new rings is news, or is told from it by its sequence.
    streams_.back().reader.join_at_oldest();
  }
  current_ = 0;
  losses_seen_ = 0;
  losses_.clear();
}

std::optional<Event> LiveReader::next() {
  for (;;) {
    Stream& stream = streams_[current_];
    while (const auto frame = stream.cursor.next()) {
      if (is_news(stream, frame->sequence())) return Event{*frame, stream.publisher, stream.epoch, std::nullopt, {}};
    }
    if (refill()) continue;
    if (attachment_->marks->topic.losses.load(std::memory_order_relaxed) != losses_seen_ || !losses_.empty()) retract();
    // The old rings are drained before they are given up.
    if (link_->state() != SubscriberLink::State::replaced) return std::nullopt;
    auto next = link_->take();
    if (next == nullptr) return std::nullopt;
    adopt(std::move(next));
  }
}

// Puts the cursor over what some stream has, fairly: the one after the last first.
bool LiveReader::refill() {
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    current_ = current_ + 1 == streams_.size() ? 0 : current_ + 1;
    Stream& stream = streams_[current_];
    if (stream.cursor.malformed()) ++malformed_;
    stream.reader.consume(stream.taken);
    if (stream.taken > 0) let_gather(stream.taken, stream.pauses);
    stream.taken = 0;
    stream.cursor = FrameCursor({});
    const auto bytes = stream.reader.available();
    if (bytes.empty()) {
      stream.pauses = 0;
      continue;
    }
    prefetch(bytes);
    stream.taken = bytes.size();
    if (stream.identified != stream.reader.page() && !identify(stream)) {
      ++malformed_;
      continue;
    }
    stream.cursor = FrameCursor(bytes);
    return true;
  }
  return false;
}

// Once a page. Of one that is older than the core's word the page's own is taken, unless it names who has a ring now.
bool LiveReader::identify(Stream& stream) {
  const ring::StreamMarks* const marks = attachment_->marks->streams;
  const ring::PageOwner claimed{stream.reader.publisher(), stream.reader.epoch()};
  const auto owner = ring::owner_of(marks[current_], stream.reader.page());
  if (!owner && std::any_of(marks, marks + streams_.size(), [&](const ring::StreamMarks& other) {
        return PublisherId(other.publisher.load(std::memory_order_relaxed)) == claimed.publisher;
      })) {
    return false;
  }
  stream.publisher = owner.value_or(claimed).publisher;
  stream.epoch = owner.value_or(claimed).epoch;
  stream.shown = &shown_[stream.publisher];
  stream.identified = stream.reader.page();
  return true;
}

// What the log will never have is taken back as far as it was shown; the rest of it once it is.
void LiveReader::retract() {
  const std::uint64_t count = attachment_->marks->topic.losses.load(std::memory_order_acquire);
  for (; losses_seen_ < count; ++losses_seen_) {
    if (const auto loss = ring::read_loss(*attachment_->marks, losses_seen_)) {
      losses_.push_back(*loss);
    } else {
      ++retractions_missed_;
    }
  }
  std::erase_if(losses_, [this](ring::Loss& loss) {
    Shown& shown = shown_[loss.publisher];
    if (shown.epoch > loss.epoch) return true;
    if (shown.epoch < loss.epoch || shown.last < loss.from) return false;
    take_back(loss.publisher, shown, loss.from, std::min(loss.to, shown.last));
    return shown.last >= loss.to;
  });
  // One of a publisher that never shows them would stay.
  if (losses_.size() > limits::losses_kept) losses_.erase(losses_.begin());
}

void LiveReader::take_back(PublisherId publisher, Shown& shown, Sequence from, Sequence to) {
  from = std::max(from, shown.taken_back.next());
  if (from > to) return;
  shown.taken_back = to;
  if (on_gap_) on_gap_({Gap::Reason::retracted, publisher, from, to});
}

bool LiveReader::is_news(const Stream& stream, Sequence sequence) {
  Shown& shown = *stream.shown;
  Sequence& last = shown.last;
  if (shown.epoch < stream.epoch) [[unlikely]] {
    // A new epoch goes on behind what is recorded: what was shown beyond is void, and its sequences name new events.
    if (shown.epoch != Epoch() && sequence <= last) {
      take_back(stream.publisher, shown, sequence, last);
      last = Sequence(sequence.value() - 1);
    }
    shown.epoch = stream.epoch;
    shown.taken_back = Sequence();
  }
  if (sequence == last.next() || last == Sequence()) {
    last = sequence;
    return true;
  }
  if (sequence <= last) return false;
  if (on_gap_) on_gap_({Gap::Reason::lapped, stream.publisher, last.next(), Sequence(sequence.value() - 1)});
  last = sequence;
  return true;
}

}  // namespace millrace
