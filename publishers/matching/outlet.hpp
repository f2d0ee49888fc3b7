// Where the events of a venue go to: the topics trade_events, order_events and market_l2.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "bus/publisher.hpp"
#include "publishers/matching/last_recorded.hpp"
#include "publishers/matching/snapshot.hpp"
#include "publishers/matching/venue.hpp"

namespace millrace::matching {

// Whether the same event may go out later. Under the policy `refuse`, too: nothing is ever left out.
[[nodiscard]] bool may_try_again(PublishStatus status);
// Of one after which there is no trying again.
[[nodiscard]] Error publish_error(const std::string& topic, PublishStatus status, const Publisher& publisher);

class Outlet {
 public:
  virtual ~Outlet() = default;
  // One of the venue's outputs(). Waits for nothing. `cause`: offset of the command that led to it.
  [[nodiscard]] virtual PublishStatus publish(const Venue& venue, const Output& output,
                                              std::optional<Offset> cause) = 0;
  // Why an event could not be published for good.
  [[nodiscard]] virtual Error error() const = 0;
  // What is wrong if no further command led to what the topics have.
  [[nodiscard]] virtual std::optional<Error> unexplained() const { return std::nullopt; }
  // Tells that the publishers live though they have nothing to say.
  virtual void idle() = 0;
};

// Counts each topic's events as they are made. An engine that comes back makes again what it has made before: what its
// publisher's log has is not published once more, but held against the last of it.
class BusOutlet final : public Outlet {
 public:
  // The publishers outlive it.
  struct Publishers {
    Publisher& trades;
    Publisher& orders;
    Publisher& depth;
  };
  // Nothing is made again: the first event is the first behind those in the log.
  explicit BusOutlet(Publishers publishers);

  using LastOnes = std::array<std::optional<LastRecorded>, kOutputTopics>;
  // The events behind `made` come next, be they in the log or not; `last` is the last one in the log of each topic.
  // Before the first publish, and only if no more was made than recorded() says.
  void make_again_from(const OutputSequences& made, LastOnes last);

  // After sequence_error the topic's log and this engine do not agree.
  [[nodiscard]] PublishStatus publish(const Venue& venue, const Output& output, std::optional<Offset> cause) override;
  [[nodiscard]] Error error() const override { return error_; }
  [[nodiscard]] std::optional<Error> unexplained() const override;
  void idle() override;

  // The logs have events that were not made again yet.
  [[nodiscard]] bool making_again() const;
  // The last events made.
  [[nodiscard]] OutputSequences made() const;
  // The last events that the logs had when the publishers were attached.
  [[nodiscard]] OutputSequences recorded() const;
  // Whether all events up to these are on the disk.
  [[nodiscard]] bool synced(const OutputSequences& up_to) const;
  // Events made again that the log had.
  [[nodiscard]] std::uint64_t suppressed() const { return suppressed_; }

 private:
  struct Topic {
    const char* name;
    Publisher* publisher;
    Sequence made;
    Sequence recorded;                 // at the start
    std::optional<LastRecorded> last;  // until it was made again
    std::optional<Offset> cause;       // of the last one made
    std::uint64_t index = 0;           // among those of the same cause: the next one's
  };

  template <class Event, class One>
  [[nodiscard]] PublishStatus send(Topic& topic, const Venue& venue, const One& one, std::optional<Offset> cause);
  template <class Event, class One>
  [[nodiscard]] bool is_last_recorded(const Topic& topic, const Venue& venue, const One& one,
                                      std::optional<Cause> cause);
  [[nodiscard]] PublishStatus disagree(const Topic& topic, const std::string& what);

  std::array<Topic, kOutputTopics> topics_;
  std::uint64_t suppressed_ = 0;
  Error error_;
};

}  // namespace millrace::matching
