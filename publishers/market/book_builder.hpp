// Snapshot and updates of one instrument into a book, in the venue's order and without a gap.
#pragma once

#include <deque>

#include "bus/base/result.hpp"
#include "publishers/market/level_book.hpp"

namespace millrace::market {

class BookBuilder {
 public:
  static constexpr std::size_t held_back_max = 10'000;

  explicit BookBuilder(std::size_t depth_max = 0) : book_(depth_max) {}

  // Takes the next update. One that comes before the first snapshot is held back; a numbered one that the snapshot
  // already covers is dropped. invalid_argument if it has no number and there is no snapshot yet; exhausted if too many
  // wait for a snapshot.
  [[nodiscard]] Status offer(BookUpdate update);
  // Applies the next update that is ready and returns it (valid until the next call), nullptr if none is.
  // sequence_error if its numbers leave a gap: a new snapshot is needed.
  [[nodiscard]] Result<const BookUpdate*> advance();

  [[nodiscard]] const LevelBook& book() const { return book_; }

 private:
  void apply(const BookUpdate& update);

  LevelBook book_;
  std::deque<BookUpdate> waiting_;
  BookUpdate applied_;  // the last one
  bool synced_ = false;
};

}  // namespace millrace::market
