// A reader's side of one ring: follows the pages in order, holding a lease on the one it is in, so that nothing is
// overwritten under it and nothing need be copied.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "bus/base/frame.hpp"
#include "bus/ring/ring.hpp"

namespace millrace::ring {

class Reader {
 public:
  // `lease`: this reader's word for this ring, which the core looks at before it recycles a page.
  Reader(Ring ring, Word& lease) : ring_(ring), lease_(&lease) {}

  // Committed, not yet consumed bytes of the current page: whole frames, unless the publisher is hostile. Moves to the
  // next page when the current one is finished and consumed; empty when there is nothing now.
  [[nodiscard]] std::span<const std::byte> available();
  // `bytes` of available() were dealt with. They stay readable until the next available().
  void consume(std::size_t bytes) { consumed_ += static_cast<std::uint32_t>(bytes); }

  // Where it stands. 0 before it was put anywhere.
  [[nodiscard]] PageNumber page() const { return page_; }
  [[nodiscard]] std::uint32_t consumed() const { return slot_ ? consumed_ : 0; }  // of a page not leased yet: none
  // Who may write the current page; valid while it is leased.
  [[nodiscard]] PublisherId publisher() const;
  [[nodiscard]] Epoch epoch() const;
  // Times that the wanted page was gone: frames were missed, see their sequences.
  [[nodiscard]] std::uint64_t laps() const { return laps_; }

  // Stands where the publisher is now, behind what it has committed: for a reader that joins live.
  void join_at_tail();
  // Stands at the oldest page still readable.
  void join_at_oldest();
  // Leases `page` to read at `begin`; false, with no lease, if it is gone or not yet granted.
  [[nodiscard]] bool go_to(PageNumber page, std::uint32_t begin);
  // Lets go of its page: the core may recycle everything.
  void release();

 private:
  [[nodiscard]] bool lease(PageNumber page);
  [[nodiscard]] std::optional<PageNumber> oldest_from(PageNumber page) const;

  Ring ring_;
  Word* lease_;
  PageNumber page_;  // leased if slot_ is set, else the next one wanted
  std::optional<std::uint32_t> slot_;
  std::uint32_t consumed_ = 0;
  std::uint64_t laps_ = 0;
};

}  // namespace millrace::ring
