#include "wal/locate.hpp"

#include <cstring>
#include <limits>

namespace millrace::wal {
namespace {

constexpr int attempts_max = 8;

// How far a publisher had come at some place of the log; epoch 0: not granted yet.
struct Standing {
  Epoch epoch;
  Sequence last;
};

// The segments [begin, end) that are between a place before a sequence and one at or behind it. One, as long as
// every header can be read.
struct Stretch {
  std::size_t begin = 0;
  std::size_t end = 0;
  Standing standing;  // at its begin, as far as its header can be read
};

class Search {
 public:
  static Result<Search> begin(FileSystem& files, const std::string& folder, PublisherId publisher) {
    auto names = list_segment_files(files, folder);
    if (!names) return fail(names.error());
    if (names->empty()) return fail(ErrorCode::not_found, "there is no log in " + folder + " yet; start its recorder");
    return Search(files, folder, publisher, std::move(*names));
  }

  [[nodiscard]] std::size_t segment_count() const { return names_.size(); }
  // What a walk met that it could not read.
  [[nodiscard]] const std::optional<Corruption>& corruption() const { return corruption_; }
  [[nodiscard]] SegmentName name(std::size_t i) const { return names_[i]; }
  Result<SegmentReader> open(std::size_t i) {
    return SegmentReader::open(*files_, folder_, names_[i], ReadMode::pread);
  }

  // Void segments lie in between and do no harm: each begins where the one that takes its place does.
  Result<Stretch> narrow(Sequence sequence) {
    std::size_t begin = 0;            // one past the last that is known to begin before the sequence
    std::size_t end = names_.size();  // the first that is known not to
    Stretch stretch;
    while (begin < end) {
      const auto probe = readable(begin, begin + (end - begin) / 2, end);
      if (!probe) return fail(probe.error());
      if (*probe == end) break;
      const auto standing = standing_at(*probe);
      if (!standing) return fail(standing.error());
      if ((*standing)->last < sequence) {
        stretch = {*probe, 0, **standing};
        begin = *probe + 1;
      } else {
        end = *probe;
      }
    }
    stretch.end = end;
    return stretch;
  }

  // Calls visit(segment, place, bound, batch) for each batch of the publisher in segment i, until it answers true;
  // `place` is where the batch begins. Without bodies when `check` says so.
  template <class Visit>
  Result<bool> walk(std::size_t i, Check check, const Visit& visit) {
    auto segment = open(i);
    if (!segment) return fail(segment.error());
    const auto bound = bound_of(i);
    if (!bound) return fail(bound.error());
    if (!*bound) return false;
    for (Place place = begin_of(*segment);;) {
      const Place before = place;
      const auto next = step(*segment, place, **bound, {}, check);
      if (!next) return fail(next.error());
      if (std::holds_alternative<NothingYet>(*next)) return false;
      if (const auto* corruption = std::get_if<Corruption>(&*next)) {
        corruption_ = *corruption;
        continue;
      }
      const Batch& batch = std::get<Batch>(*next);
      if (batch.header.publisher != publisher_.value()) continue;
      const Result<bool> done = visit(*segment, before, **bound, batch);
      if (!done || *done) return done;
    }
  }

 private:
  Search(FileSystem& files, const std::string& folder, PublisherId publisher, std::vector<SegmentName> names)
      : files_(&files), folder_(folder), publisher_(publisher), names_(std::move(names)) {}

  // nullopt: the header is bad.
  Result<std::optional<Standing>> standing_at(std::size_t i) {
    const auto segment = open(i);
    if (!segment) return fail(segment.error());
    if (!segment->header_valid()) return std::nullopt;
    for (const PublisherEntry& entry : segment->publishers()) {
      if (entry.id == publisher_) return Standing{entry.epoch, entry.last_sequence};
    }
    return Standing{};
  }

  // The segment in [begin, end) nearest to `middle` whose header can be read; `end`: none.
  Result<std::size_t> readable(std::size_t begin, std::size_t middle, std::size_t end) {
    for (std::size_t i = middle + 1; i-- > begin;) {
      const auto standing = standing_at(i);
      if (!standing) return fail(standing.error());
      if (*standing) return i;
    }
    for (std::size_t i = middle + 1; i < end; ++i) {
      const auto standing = standing_at(i);
      if (!standing) return fail(standing.error());
      if (*standing) return i;
    }
    return end;
  }

  // Where segment i ends, as the next one says, if that can be read; nullopt: it is void.
  Result<std::optional<Bound>> bound_of(std::size_t i) {
    if (i + 1 == names_.size()) return Bound{};
    const auto next = open(i + 1);
    if (!next) return fail(next.error());
    if (!next->header_valid()) return Bound{};
    const SegmentHeader& header = next->header();
    const std::uint64_t number = names_[i].number.value();
    if (header.previous_segment == number) return Bound{header.previous_end, names_[i + 1].first_offset};
    if (header.previous_segment < number) return std::nullopt;
    return Bound{};  // one in between was lost
  }

  FileSystem* files_;
  std::string folder_;
  PublisherId publisher_;
  std::vector<SegmentName> names_;
  std::optional<Corruption> corruption_;
};

std::string text_of(PublisherId publisher, Sequence sequence) {
  return "sequence " + std::to_string(sequence.value()) + " of publisher " + std::to_string(publisher.value());
}

Result<Located> locate_once(FileSystem& files, const std::string& folder, PublisherId publisher, Epoch epoch,
                            Sequence sequence) {
  auto search = Search::begin(files, folder, publisher);
  if (!search) return fail(search.error());
  const auto stretch = search->narrow(sequence);
  if (!stretch) return fail(stretch.error());
  if (stretch->end == 0) return Located{Located::Kind::deleted, {}, {}};

  Standing standing = stretch->standing;
  std::optional<Located> found;
  for (std::size_t i = stretch->begin; i < stretch->end && !found; ++i) {
    const auto visit = [&](SegmentReader& segment, Place place, const Bound& bound, const Batch& seen) -> Result<bool> {
      const BatchHeader& header = seen.header;
      if (seen.kind() == BatchKind::publisher) {
        standing = {Epoch(header.epoch), Sequence(header.first_sequence - 1)};
        return false;
      }
      standing.last = Sequence(header.first_sequence - 1);
      if (standing.last >= sequence) return true;  // it was lost before this
      if (seen.kind() == BatchKind::events && standing.last + header.count < sequence) {
        standing.last = standing.last + header.count;
        return false;
      }
      // This one's body counts: without it the log ends here, or what is lost has a name.
      const auto whole = step(segment, place, bound);
      if (!whole) return fail(whole.error());
      if (const auto* corruption = std::get_if<Corruption>(&*whole)) {
        return fail(ErrorCode::corrupt, corruption->message());
      }
      const auto* batch = std::get_if<Batch>(&*whole);
      if (batch == nullptr) return true;
      if (batch->kind() == BatchKind::gap) {
        GapRecord gap;
        std::memcpy(&gap, batch->body.data(), sizeof gap);
        standing.last = Sequence(gap.to);
        if (standing.last < sequence) return false;
        found = Located{Located::Kind::gap, Offset(header.first_offset), Epoch(header.epoch)};
      } else if (header.epoch != epoch.value()) {
        found = Located{Located::Kind::superseded, {}, Epoch(header.epoch)};
      } else {
        found = Located{Located::Kind::recorded,
                        Offset(header.first_offset + (sequence.value() - header.first_sequence)), epoch};
      }
      return true;
    };
    const auto walked = search->walk(i, Check::header, visit);
    if (!walked) return fail(walked.error());
    if (*walked) break;
  }
  if (found) return *found;
  if (search->corruption()) {
    return fail(ErrorCode::corrupt,
                text_of(publisher, sequence) + " may have been in what is lost: " + search->corruption()->message());
  }
  if (stretch->end < search->segment_count() || standing.last >= sequence) {
    return fail(ErrorCode::corrupt,
                text_of(publisher, sequence) + " was recorded before segment " +
                    to_file_name(search->name(std::min(stretch->end, search->segment_count() - 1))) +
                    " ends, but is in no segment there is; restore what is missing from a copy");
  }
  if (standing.epoch == Epoch(0)) {
    return fail(ErrorCode::not_found,
                "publisher " + std::to_string(publisher.value()) + " is not in the log " + folder + "; ask its core");
  }
  return Located{epoch < standing.epoch ? Located::Kind::superseded : Located::Kind::not_there_yet, {}, standing.epoch};
}

Result<LastEvent> last_of(const Batch& batch) {
  const BatchHeader& header = batch.header;
  FrameCursor cursor(batch.body);
  std::optional<FrameView> last;
  while (const auto frame = cursor.next()) last = frame;
  if (!last) {
    return fail(ErrorCode::corrupt, "the batch at offset " + std::to_string(header.first_offset) +
                                        " holds no frame though its checksum is right; it was written wrongly");
  }
  const auto bytes = last->bytes().first(last->header().length);
  return LastEvent{Offset(header.first_offset + header.count - 1),
                   Sequence(header.first_sequence + header.count - 1),
                   Epoch(header.epoch),
                   WallTime{header.record_time},
                   {bytes.begin(), bytes.end()}};
}

Result<std::optional<LastEvent>> last_in(Search& search, std::size_t i) {
  // By the headers; only if the body of the last one is bad, it takes those of all others to find the last that is not.
  for (const Check check : {Check::header, Check::whole}) {
    std::optional<Place> at;
    Bound in;
    const auto walked = search.walk(
        i, check, [&](SegmentReader&, const Place& place, const Bound& bound, const Batch& batch) -> Result<bool> {
          if (batch.kind() != BatchKind::events) return false;
          at = place;
          in = bound;
          return false;
        });
    if (!walked) return fail(walked.error());
    if (!at) return std::nullopt;
    auto segment = search.open(i);
    if (!segment) return fail(segment.error());
    const auto whole = step(*segment, *at, in);
    if (!whole) return fail(whole.error());
    if (const auto* batch = std::get_if<Batch>(&*whole)) return last_of(*batch);
  }
  return std::nullopt;
}

Result<std::optional<LastEvent>> last_event_once(FileSystem& files, const std::string& folder, PublisherId publisher) {
  auto search = Search::begin(files, folder, publisher);
  if (!search) return fail(search.error());
  Sequence before(std::numeric_limits<std::uint64_t>::max());
  for (;;) {
    const auto stretch = search->narrow(before);
    if (!stretch) return fail(stretch.error());
    for (std::size_t i = stretch->end; i-- > stretch->begin;) {
      auto last = last_in(*search, i);
      if (!last || *last) return last;
    }
    // Nothing but gaps and grants there: what the segment began behind stands before it, unless it was deleted.
    before = stretch->standing.last;
    if (before == Sequence(0)) return std::nullopt;
  }
}

// Segments may be deleted under a search; a new list then begins later.
template <class Once>
auto with_retries(const Once& once) {
  for (int attempt = 1;; ++attempt) {
    auto answer = once();
    if (answer || answer.error().code != ErrorCode::deleted || attempt == attempts_max) return answer;
  }
}

}  // namespace

Result<Located> locate(FileSystem& files, const std::string& folder, PublisherId publisher, Epoch epoch,
                       Sequence sequence) {
  if (sequence == Sequence(0))
    return fail(ErrorCode::invalid_argument, "the first event of a publisher has sequence 1");
  return with_retries([&] { return locate_once(files, folder, publisher, epoch, sequence); });
}

Result<std::optional<LastEvent>> last_event(FileSystem& files, const std::string& folder, PublisherId publisher) {
  return with_retries([&] { return last_event_once(files, folder, publisher); });
}

}  // namespace millrace::wal
