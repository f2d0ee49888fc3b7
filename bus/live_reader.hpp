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

  [[nodiscard]] std::uint64_t malformed() const {
    return malformed_;
  }  // pages left at bytes that are no frame of their publisher
  [[nodiscard]] const std::shared_ptr<SubscriberAttachment>& attachment() const { return attachment_; }

 private:
  struct Stream {
    ring::Reader reader;
    FrameCursor cursor{{}};
    std::size_t taken = 0;  // bytes of the span under the cursor
    unsigned pauses = 0;    // before the next look, while each finds a little
    PublisherId publisher{};
    Epoch epoch{};
    Sequence* last = nullptr;  // of this publisher, in last_
    PageNumber looked_up{};    // page whose publisher was found to have this ring
  };

  void adopt(std::shared_ptr<SubscriberAttachment> next);
  [[nodiscard]] bool refill();
  // Whether a page of that ring may be of the publisher that it names: not if that one has another ring of this topic.
  [[nodiscard]] bool names_its_own(std::size_t ring, PublisherId named) const;
  // False for an event that was seen before the core was replaced. Reports what was missed before it.
  [[nodiscard]] bool is_news(const Stream& stream, Sequence sequence) const;

  std::shared_ptr<SubscriberLink> link_;
  OnGap on_gap_;
  std::shared_ptr<SubscriberAttachment> attachment_;
  std::vector<Stream> streams_;
  std::size_t current_ = 0;
  std::map<PublisherId, Sequence> last_;  // seen of each publisher, across attachments; 0: none yet
  std::uint64_t malformed_ = 0;
};

}  // namespace millrace
