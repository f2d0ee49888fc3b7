// Offers again, under their old sequences, the events that this process published into a dead core's ring and that the
// log does not have. A dead core recycles nothing, so they still lie in the old pages.
#pragma once

#include <memory>

#include "bus/attachment.hpp"
#include "bus/ring/writer.hpp"

namespace millrace {

class Reoffer {
 public:
  // `end`: the sequence behind the last event published into `old`.
  Reoffer(std::shared_ptr<PublisherAttachment> old, Sequence end) : old_(std::move(old)), end_(end) {}

  // Goes on until all is offered (true) or no page is free (false). Events of a page are offered as one batch, so that
  // what was published whole stays whole. Where an old page is gone (live_only) the writer skips its sequences.
  [[nodiscard]] bool run(ring::Writer& into);
  // Begins anew, for a ring of yet another core: what has been recorded meanwhile is left out.
  void restart() { done_ = PageNumber(); }

 private:
  std::shared_ptr<PublisherAttachment> old_;
  Sequence end_;
  PageNumber done_;  // pages up to here are offered
};

}  // namespace millrace
