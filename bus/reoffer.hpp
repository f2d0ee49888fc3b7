// Offers again, under their old sequences, the events that this process published into a dead core's ring and that the
// log does not have. A dead core recycles nothing, so they still lie in the old pages.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "bus/attachment.hpp"
#include "bus/ring/writer.hpp"

namespace millrace {

class Reoffer {
 public:
  // `end`: the sequence behind the last event published into `old`. `batched`: the frames behind it, of an open batch.
  Reoffer(std::shared_ptr<PublisherAttachment> old, Sequence end, std::span<const std::byte> batched)
      : old_(std::move(old)), end_(end), batched_(batched.begin(), batched.end()) {}

  // Goes on until all is offered (true) or no page is free (false). Events of a page are offered as one batch, so that
  // what was published whole stays whole. Where an old page is gone (may_lose()) the writer skips its sequences. The
  // open batch comes last, and is left open.
  [[nodiscard]] bool run(ring::Writer& into);
  // Begins anew, for a ring of yet another core: what has been recorded meanwhile is left out.
  void restart() { done_ = PageNumber(); }

 private:
  std::shared_ptr<PublisherAttachment> old_;
  Sequence end_;
  std::vector<std::byte> batched_;
  PageNumber done_;  // pages up to here are offered
};

}  // namespace millrace
