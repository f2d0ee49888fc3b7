// One topic's events in log order, a batch at a time: from files, or from a bus. What merges, filters and paces does
// not know which.
#pragma once

#include <functional>
#include <string>

#include "bus/event.hpp"
#include "bus/start.hpp"

namespace millrace::historical {

// Events of one publisher with one record time. Valid until the next call on its Source.
struct Batch {
  FrameCursor cursor{{}};
  Offset next{};  // of the next frame under the cursor
  Offset end{};   // behind the last
  PublisherId publisher{};
  Epoch epoch{};
  WallTime record_time{};
};

// What a replay's caller is told besides events; it comes where it belongs among the topic's own.
struct Notice {
  enum class Kind {
    gap,          // the log never had these events: `gap`
    rolled_back,  // all from offset `from` on is void, and comes anew if it comes
    corrupt,      // offsets `from` to `to` (excluded) are lost in the log
    deleted,      // likewise: retention was faster than this reader
    invalid,      // the event at `from` fails its type's verifier, or has a type that nobody knows: left out
  };
  Kind kind = Kind::gap;
  std::size_t topic = 0;  // index as given to Replay::open
  Offset from{};
  Offset to{};
  Gap gap{};
  std::string message{};  // one sentence for people
};

class Source {
 public:
  using Tell = std::function<void(const Notice&)>;

  virtual ~Source() = default;

  // True: `into` is the next. False: there is none now; once ended(), there never will be. Errors: what there is no way
  // on from, or none is wanted.
  [[nodiscard]] virtual Result<bool> fetch(Batch& into) = 0;
  [[nodiscard]] virtual bool ended() const = 0;
  // Goes on there. The offset it stands at then. Errors: those of find_start(); it stands nowhere then: seek again.
  [[nodiscard]] virtual Result<Offset> seek(const Start& start) = 0;
  // Tells a core that it follows that this reader lives, though it does not fetch.
  virtual void idle() {}
  // False while a core that it follows is away.
  [[nodiscard]] virtual bool connected() const { return true; }

  Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
};

// What to do where events are lost, or void.
enum class OnLoss {
  go_on,  // tell, and go on behind it
  stop,   // the replay ends with the error
};

}  // namespace millrace::historical
