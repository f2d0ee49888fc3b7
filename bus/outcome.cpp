#include "bus/outcome.hpp"

#include "wal/locate.hpp"

namespace millrace {

Result<Outcome> outcome_of(wal::FileSystem& files, const std::string& log_folder, const PublishPosition& position,
                           Offset synced_end) {
  const auto found = wal::locate(files, log_folder, position.publisher, position.epoch, position.sequence);
  if (!found) return fail(found.error());
  switch (found->kind) {
    case wal::Located::Kind::recorded:
      return Outcome{found->offset < synced_end ? Fate::synced : Fate::recorded, found->offset};
    case wal::Located::Kind::gap:
      return Outcome{Fate::not_recorded, std::nullopt};
    case wal::Located::Kind::superseded:
      return Outcome{Fate::lost, std::nullopt};
    case wal::Located::Kind::not_there_yet:
      return Outcome{Fate::pending, std::nullopt};
    case wal::Located::Kind::deleted:
      break;
  }
  return fail(ErrorCode::deleted,
              "sequence " + std::to_string(position.sequence.value()) +
                  " is older than the first event there is: it was decided before that was deleted");
}

}  // namespace millrace
