// millrace wal verify: walks every batch of a log and names what is wrong, to the offset; then its indexes and seals.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "tools/millrace/exit.hpp"
#include "tools/millrace/log_folder.hpp"
#include "tools/millrace/output.hpp"
#include "wal/posix_file_system.hpp"
#include "wal/reader.hpp"

namespace millrace::cli {

// Judges the batches of one log, oldest first: what the reader's checksums do not tell.
class Verifier {
 public:
  // `report` gets a sentence for each thing that is wrong.
  Verifier(LogTypes& types, std::function<void(const std::string&)> report)
      : types_(types), report_(std::move(report)) {}

  void take(const wal::BatchView& batch);
  // The reader found corruption: these offsets are lost, and no continuity is expected across them.
  void take(const wal::Corruption& corruption);
  // What comes next was not read up to: no continuity is expected.
  void forget();

  struct Counts {
    std::uint64_t events = 0;
    std::uint64_t batches = 0;
    std::uint64_t bytes = 0;  // of the frames
    std::uint64_t runs = 0;
    std::uint64_t gaps = 0;  // events that their publisher published and the log never had
    std::uint64_t wrong = 0;
  };
  [[nodiscard]] const Counts& counts() const { return counts_; }

 private:
  void wrong(Offset at, const std::string& what);
  void take_sequences(const wal::BatchView& batch, Sequence first, std::uint64_t count);
  void take_frames(const wal::BatchView& batch);

  struct Stream {
    Sequence last;
    Epoch epoch;
  };

  LogTypes& types_;
  std::function<void(const std::string&)> report_;
  Counts counts_;
  std::optional<Offset> next_;
  WallTime time_{INT64_MIN};
  Run run_;
  std::map<PublisherId, Stream> streams_;
};

// Batches, then index files against them, then seals. `expect_seal`: a value in hexadecimal that the chain of seals
// must hold, as an earlier run printed it.
// What retention deletes meanwhile is said, and not wrong. The schemas lie on this machine's disk, whatever `files` is.
[[nodiscard]] Exit wal_verify(const LogChoice& choice, Output& out, const std::string& expect_seal = {},
                              wal::FileSystem& files = wal::posix_file_system());

}  // namespace millrace::cli
