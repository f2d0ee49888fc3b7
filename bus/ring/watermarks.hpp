// How far the recorder is, in one memory page a topic: written by the core, mapped read-only by everybody, so that
// nobody asks for an acknowledgement: it is looked at.
#pragma once

#include <cstdint>

#include "bus/base/limits.hpp"
#include "bus/ring/layout.hpp"

namespace millrace::ring {

// Both ends are the first offset (or sequence) that is not there yet.
struct alignas(limits::cache_line) TopicMarks {
  Word recorded_end;  // written to the log: survives every process
  Word synced_end;    // on the disk: survives the host
  Word record_time;   // wall-clock nanoseconds of the newest recorded batch
  Word failed;        // 1 once a write or sync failed: nothing more is recorded
};

struct alignas(limits::cache_line) StreamMarks {
  Word publisher;  // PublisherId that has the ring, 0 if none
  Word epoch;
  Word recorded_sequence;  // last one recorded
  Word synced_sequence;    // last one synced
};

struct Watermarks {
  TopicMarks topic;
  StreamMarks streams[limits::publishers_max];
};
static_assert(sizeof(Watermarks) <= limits::memory_page);

// What a subscription shares with the core: one memory page that the core made for this one reader, who writes it.
struct SubscriberPage {
  struct alignas(limits::cache_line) {
    Word progress;  // bumped by poll and idle()
    Word position;  // next offset wanted, for the lag shown in status; 0 at level live
  } state;
  Word leases[limits::publishers_max];  // page it is in, a ring each; 0 = none
};
static_assert(sizeof(SubscriberPage) <= limits::memory_page);

}  // namespace millrace::ring
