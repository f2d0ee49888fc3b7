// A topic's events from the files of its log: needs no daemon, writes nothing, and may run while the log is written.
#pragma once

#include <memory>
#include <optional>

#include "subscribers/historical/source.hpp"
#include "wal/reader.hpp"

namespace millrace::historical {

// Where retention was faster than this reader: `log` stands at `wanted` if that is there after all, else at the first
// offset that is left.
[[nodiscard]] Status seek_what_is_left(wal::Reader& log, Offset wanted);

class LogSource final : public Source {
 public:
  // `to`: excluded; none: goes on with what is written behind. `log` stands where it begins, or is sent by seek().
  LogSource(wal::Reader log, std::optional<Offset> to, OnLoss on_loss, Tell tell)
      : log_(std::move(log)), to_(to), on_loss_(on_loss), tell_(std::move(tell)) {}

  [[nodiscard]] Result<bool> fetch(Batch& into) override;
  [[nodiscard]] bool ended() const override { return to_ && log_.position() >= *to_; }
  [[nodiscard]] Result<Offset> seek(const Start& start) override;

 private:
  // Tells of what reading ran into, and stands behind it. The error itself if there is no way on, or none is wanted.
  [[nodiscard]] Status pass(const Error& error, Offset before);

  wal::Reader log_;
  std::optional<Offset> to_;
  OnLoss on_loss_;
  Tell tell_;
};

}  // namespace millrace::historical
