// The Writer's housekeeping: the next segment's file, the deletion of old ones, the care of sealed ones. See
// writer.hpp.
#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

#include "wal/writer.hpp"

namespace millrace::wal {
namespace {

constexpr std::string_view prepared_prefix = "prepared";
constexpr int rebuilt_max = 8;       // indexes at one start
constexpr int unsealed_max = 8;      // segments that wait for their seal until there is time
constexpr int preparations_max = 3;  // that fail in a row while a roll waits
constexpr WallTime long_ago{std::numeric_limits<std::int64_t>::min()};

}  // namespace

// What the chain does not name: a segment that recorded nothing, or that a failed writer could not finish. Neither has
// a batch; a file that has one is kept under another name, whatever the chain says.
Status Writer::clear_void_files() {
  const auto names = files_->list(folder_);
  if (!names) return fail(names.error());
  look_at_sealed(*names);
  for (const std::string& text : *names) {
    // Of an earlier life.
    if (text.starts_with(prepared_prefix) || text.ends_with(".wal.zst.new") || text.ends_with(".seal.new")) {
      (void)files_->unlink(path(text));
    }
    const auto parsed = parse_segment_name(text);
    if (!parsed) continue;
    const SegmentName name = *parsed;
    const auto sealed = sealed_from(name.number);
    const bool counts = sealed != sealed_.end() && sealed->name == name;
    if (name == name_ || counts) continue;
    const std::string file = path(text);
    auto segment = SegmentReader::open(*files_, folder_, name, ReadMode::pread);
    if (!segment) {
      if (segment.error().code == ErrorCode::deleted) continue;
      return fail(segment.error());
    }
    const auto batch = segment->find(0, segment->size());
    if (!batch) return fail(batch.error());
    if (segment->header_valid() && !*batch) {
      (void)files_->unlink(path(to_index_name(name)));
      MILLRACE_TRY(files_->unlink(file));
    } else {
      MILLRACE_TRY(files_->rename(file, file + ".bad"));
    }
  }
  return {};
}

// The first with this number or a higher one.
std::vector<Writer::Sealed>::const_iterator Writer::sealed_from(SegmentNumber number) const {
  return std::partition_point(sealed_.begin(), sealed_.end(), [&](const Sealed& s) { return s.name.number < number; });
}

CareOf Writer::care_of(const Sealed& sealed) const {
  const auto next = sealed_from(sealed.name.number.next());
  const Offset next_offset = next == sealed_.end() ? name_.first_offset : next->name.first_offset;
  return {files_, folder_, sealed.name, log_id_, sealed.end.value_or(0), next_offset, options_.keys};
}

// What they take, and what was done for them before.
void Writer::look_at_sealed(const std::vector<std::string>& names) {
  for (Sealed& sealed : sealed_) {
    sealed.cared = care_done(care_of(sealed), names);
    sealed.bytes = sealed.end.value_or(options_.segment_size);
    if (!sealed.cared[index_of(Care::compress)]) continue;
    const auto file = files_->open(path(to_cold_name(sealed.name)), OpenMode::read);
    const auto size = file ? (*file)->size() : Result<std::uint64_t>(fail(file.error()));
    if (size) sealed.bytes = *size;
  }
  count_sealed();
}

void Writer::count_sealed() {
  sealed_bytes_ = 0;
  for (const Sealed& sealed : sealed_) sealed_bytes_ += sealed.bytes;
}

// Each takes a walk through its segment: a start does a few, those that a crash most likely took first.
void Writer::rebuild_indexes(const std::vector<Link>& links) {
  int left = rebuilt_max;
  for (std::size_t i = links.size(); i-- > 1 && left > 0;) {
    const Link& link = links[i - 1];
    if (!link.end || !link.header_valid || !read_index(*files_, folder_, link.name, log_id_, *link.end).empty()) {
      continue;
    }
    --left;
    auto segment = SegmentReader::open(*files_, folder_, link.name, ReadMode::pread);
    if (!segment) continue;
    const auto entries = build_index(*segment, {link.end, links[i].name.first_offset});
    if (entries) (void)write_index(*files_, folder_, link.name, log_id_, *link.end, *entries);
  }
}

std::string Writer::prepared_name() const {
  return std::string(prepared_prefix) + (life_ == 0 ? "" : "-" + std::to_string(life_));
}

PrepareTicket Writer::preparation() const {
  PrepareTicket ticket;
  ticket.files_ = files_;
  ticket.path_ = path(prepared_name());
  ticket.segment_size_ = options_.segment_size;
  ticket.life_ = life_;
  ticket.file_ = prepared_.file;
  ticket.written_ = prepared_.written;
  return ticket;
}

// Makes sure that there is a prepared file, if need be one whose space is reserved but its blocks not yet written.
Status Writer::make_prepared() {
  if (prepared_.file) return {};
  PrepareTicket ticket = preparation();
  MILLRACE_TRY(ticket.run());
  prepared_ = {ticket.file_, ticket.written_};
  return {};
}

std::optional<PrepareTicket> Writer::take_preparation(bool zeros) {
  if (failure_ || preparing_ || rolling_) return std::nullopt;  // a roll still has the prepared file's name
  const bool done = prepared_.written == options_.segment_size || !zeros || roll_wanted_;
  if (prepared_.file && done) return std::nullopt;
  preparing_ = true;
  PrepareTicket ticket = preparation();
  prepared_ = {};
  return ticket;
}

Status Writer::complete_preparation(const PrepareTicket& ticket, const Status& result) {
  if (ticket.life_ != life_) {
    if (result) (void)files_->unlink(ticket.path_);
    return {};
  }
  preparing_ = false;
  preparation_failed_ = !result;
  if (result) {
    prepared_ = {ticket.file_, ticket.written_};
    preparations_failed_ = 0;
  } else if (result.error().code != ErrorCode::no_space && ++preparations_failed_ >= preparations_max && roll_wanted_) {
    return poison(result.error());
  }
  return result;
}

Result<bool> Writer::prepare_next_segment() {
  if (failure_) return fail(*failure_);
  auto ticket = take_preparation(true);
  if (!ticket) return false;
  const Status done = ticket->run();
  MILLRACE_TRY(complete_preparation(*ticket, done));
  return prepared_.written < options_.segment_size;
}

SegmentFacts Writer::facts_of(std::size_t i) const {
  const Offset end = i + 1 < sealed_.size() ? sealed_[i + 1].name.first_offset : name_.first_offset;
  return {sealed_[i].name, end, sealed_[i].newest, sealed_[i].bytes};
}

std::vector<SegmentFacts> Writer::sealed_facts() const {
  std::vector<SegmentFacts> facts;
  for (std::size_t i = 0; i < sealed_.size(); ++i) facts.push_back(facts_of(i));
  return facts;
}

std::optional<DeleteTicket> Writer::take_deletion(const RetentionLimits& limits, RetentionFacts facts) {
  if (deletion_out_ || rolling_) return std::nullopt;
  // A deletion may take long, and the next segment's file would have to wait behind it; unless it needs the space.
  const bool file_comes_first = housekeeping_ == Housekeeping::elsewhere && !options_.recycle && !failure_;
  if (file_comes_first && !prepared_.file && !preparation_failed_) return std::nullopt;
  if (!deleting_) {
    if (sealed_.empty() || sealed_.front().name == care_out_) return std::nullopt;
    facts.bytes = sealed_bytes_ + options_.segment_size;  // with the open one
    if (!is_deleted(judge(facts_of(0), facts, limits))) return std::nullopt;
    deleting_ = sealed_.front().name;
    deleting_bytes_ = sealed_.front().bytes;
    for (auto& begun : care_) {
      if (begun && begun->name_ == *deleting_) begun.reset();
    }
    sealed_.erase(sealed_.begin());
    count_sealed();
  }
  deletion_out_ = true;
  DeleteTicket ticket;
  ticket.files_ = files_;
  ticket.folder_ = folder_;
  ticket.name_ = *deleting_;
  ticket.bytes_ = deleting_bytes_;
  ticket.segment_size_ = options_.segment_size;
  ticket.life_ = life_;
  if (options_.recycle && !prepared_.file && !preparing_) {
    preparing_ = true;
    ticket.recycled_name_ = prepared_name();
  }
  return ticket;
}

Status Writer::complete_deletion(const DeleteTicket& ticket, const Status& result) {
  if (ticket.life_ != life_) {
    if (ticket.recycled_) (void)files_->unlink(path(ticket.recycled_name_));
    return {};
  }
  deletion_out_ = false;
  if (!ticket.recycled_name_.empty()) preparing_ = false;
  if (result) deleting_.reset();
  if (ticket.recycled_) prepared_ = {ticket.recycled_, options_.segment_size};
  return result;
}

std::optional<CareTicket> Writer::take_care(WallTime cold, bool idle) {
  if (failure_ || care_out_ || rolling_) return std::nullopt;
  if (!idle && std::count_if(sealed_.begin(), sealed_.end(),
                             [](const Sealed& sealed) { return !sealed.cared[index_of(Care::seal)]; }) < unsealed_max) {
    return std::nullopt;
  }
  std::optional<CareTicket> ticket;
  for (std::size_t kind = 0; kind < care_kinds && !ticket; ++kind) {
    if (idle || Care(kind) == Care::seal) ticket = std::exchange(care_[kind], std::nullopt);
  }
  if (!ticket) ticket = next_care(cold, idle);
  if (ticket) care_out_ = ticket->name_;
  return ticket;
}

std::optional<CareTicket> Writer::next_care(WallTime cold, bool idle) {
  // Those that failed come again once nothing else is left to do.
  for (const bool failed : {false, true}) {
    bool sealed_before = true;
    for (Sealed& sealed : sealed_) {
      if (!sealed.end) continue;
      const bool had_its_turn = sealed.care_failed != failed;
      const auto wanted = [&](Care care) {
        if (sealed.cared[index_of(care)]) return false;
        switch (care) {
          case Care::seal:
            return sealed_before;
          case Care::keys:
            return idle && options_.keys != nullptr;
          case Care::compress:
            return idle && sealed.cared[index_of(Care::seal)] && sealed.newest < cold;
        }
        return false;
      };
      for (std::size_t kind = 0; kind < care_kinds && !had_its_turn; ++kind) {
        if (!wanted(Care(kind))) continue;
        sealed.care_failed = false;
        CareTicket ticket;
        ticket.care_ = Care(kind);
        ticket.name_ = sealed.name;
        ticket.life_ = life_;
        ticket.work_ = begin_care(ticket.care_, care_of(sealed));
        return ticket;
      }
      sealed_before = sealed.cared[index_of(Care::seal)];
    }
  }
  return std::nullopt;
}

Status Writer::complete_care(const CareTicket& ticket, const Status& result) {
  care_out_.reset();
  if (ticket.life_ != life_) return {};
  const auto sealed =
      std::find_if(sealed_.begin(), sealed_.end(), [&](const Sealed& s) { return s.name == ticket.name_; });
  if (sealed == sealed_.end()) return result;
  if (!result) {
    sealed->care_failed = true;
  } else if (!ticket.made_.done) {
    care_[index_of(ticket.care_)] = ticket;
  } else {
    sealed->cared[index_of(ticket.care_)] = true;
    sealed->bytes = ticket.made_.bytes.value_or(sealed->bytes);
    count_sealed();
  }
  return result;
}

std::uint64_t Writer::half_made_bytes() const {
  std::uint64_t bytes = 0;
  for (const auto& begun : care_) bytes += begun ? begun->made_.beside : 0;
  return bytes;
}

Result<std::size_t> Writer::delete_all(std::uint64_t bytes_max, WallTime oldest) {
  std::size_t deleted = 0;
  while (auto ticket = take_deletion(bytes_max, oldest)) {
    const Status done = ticket->run();
    MILLRACE_TRY(complete_deletion(*ticket, done));
    ++deleted;
  }
  return deleted;
}

Result<std::size_t> Writer::retain(std::uint64_t bytes_max) {
  return delete_all(bytes_max, long_ago);
}

Result<std::size_t> Writer::retain_since(WallTime oldest) {
  return delete_all(std::numeric_limits<std::uint64_t>::max(), oldest);
}

}  // namespace millrace::wal
