// A topic's events from a bus, from a place in its log on and into live: the bus's follower.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "bus/subscriber.hpp"
#include "subscribers/historical/source.hpp"
#include "wal/file_system.hpp"

namespace millrace::historical {

// A new subscription at level recorded or synced that begins at `start`.
using Subscribe = std::function<Result<std::unique_ptr<Subscriber>>(const Start& start, Follower::OnGap on_gap)>;

class FollowerSource final : public Source {
 public:
  // `folder`: of the topic's log, on `files`; to find out what is lost where the follower stands still.
  FollowerSource(Subscribe subscribe, wal::FileSystem& files, std::string folder, OnLoss on_loss, Tell tell)
      : subscribe_(std::move(subscribe)),
        files_(&files),
        folder_(std::move(folder)),
        on_loss_(on_loss),
        tell_(std::move(tell)) {}

  [[nodiscard]] Result<bool> fetch(Batch& into) override;
  [[nodiscard]] bool ended() const override { return false; }
  [[nodiscard]] Result<Offset> seek(const Start& start) override;
  void idle() override {
    if (subscriber_) subscriber_->idle();
  }
  [[nodiscard]] bool connected() const override {
    return subscriber_ == nullptr || subscriber_->follower()->freshness().connected;
  }

 private:
  void on_gap(const Gap& gap);
  [[nodiscard]] Status pass(const Error& error);

  Subscribe subscribe_;
  wal::FileSystem* files_;
  std::string folder_;
  OnLoss on_loss_;
  Tell tell_;
  std::optional<Error> stopped_;  // by a roll-back
  std::unique_ptr<Subscriber> subscriber_;
};

}  // namespace millrace::historical
