// Level live: polls the rings of a topic, each publisher's events in order, as soon as they are committed.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "bus/attachment.hpp"
#include "bus/event.hpp"
#include "bus/ring/reader.hpp"

namespace millrace {

class LiveReader {
 public:
  using OnGap = std::function<void(const Gap&)>;

  // Begins behind what is committed now. One thread.
  LiveReader(Attached<SubscriberAttachment> attached, OnGap on_gap);

  // The next event, or nullopt if there is none now. What an earlier call gave is invalid from here on.
  [[nodiscard]] std::optional<Event> next();

  // Why nothing will come any more, if so: the next core would not have it.
  [[nodiscard]] std::optional<Error> error() const {
    if (link_->state() != SubscriberLink::State::closed) return std::nullopt;
    return link_->error();
  }
  // Losses that were overwritten before they were looked at: what they would have retracted, the log's gap records say.
  [[nodiscard]] std::uint64_t retractions_missed() const { return retractions_missed_; }
  // Pages left at bytes that are no frame of their publisher.
  [[nodiscard]] std::uint64_t malformed() const { return malformed_; }
  [[nodiscard]] const std::shared_ptr<SubscriberAttachment>& attachment() const { return attachment_; }

 private:
  // Of a publisher, across attachments.
  struct Shown {
    Sequence last{};  // 0: nothing yet
    Epoch epoch{};
    Sequence taken_back{};  // told to be retracted up to here
  };
  struct Stream {
    ring::Reader reader;
    FrameCursor cursor{{}};
    std::size_t taken = 0;  // bytes of the span under the cursor
    unsigned pauses = 0;    // before the next look, while each finds a little
    PublisherId publisher{};
    Epoch epoch{};
    Shown* shown = nullptr;   // of this publisher, in shown_
    PageNumber identified{};  // the page that these are of
  };

  void adopt(std::shared_ptr<SubscriberAttachment> next);
  [[nodiscard]] bool refill();
  // Looks up whose the current page is. False: it names somebody whose it is not.
  [[nodiscard]] bool identify(Stream& stream);
  // False for an event that was seen before the core was replaced. Reports what was missed before it.
  [[nodiscard]] bool is_news(const Stream& stream, Sequence sequence);
  void retract();
  void take_back(PublisherId publisher, Shown& shown, Sequence from, Sequence to);

  std::shared_ptr<SubscriberLink> link_;
  OnGap on_gap_;
  std::shared_ptr<SubscriberAttachment> attachment_;
  std::vector<Stream> streams_;
  std::size_t current_ = 0;
  std::map<PublisherId, Shown> shown_;
  std::uint64_t losses_seen_ = 0;   // of the attachment
  std::vector<ring::Loss> losses_;  // not all of which was shown yet
  std::uint64_t retractions_missed_ = 0;
  std::uint64_t malformed_ = 0;
};

}  // namespace millrace
