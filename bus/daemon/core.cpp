#include "bus/daemon/core.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>

#include "bus/base/limits.hpp"

namespace millrace::daemon {
namespace {

using namespace std::chrono_literals;
using control::PublisherState;
using control::TopicState;
using schemas::HealthReason;
using schemas::HealthState;
using schemas::HealthSubject;

constexpr auto serve_interval = 100us;
constexpr auto watch_interval = 50ms;
constexpr std::string_view own_name = "millraced";
constexpr std::string_view health_topic = "system.health";
constexpr std::uint64_t health_token = 0;

HealthState to_health(PublisherState state) {
  switch (state) {
    case PublisherState::healthy:
      return HealthState::healthy;
    case PublisherState::degraded:
      return HealthState::degraded;
    case PublisherState::failed:
      return HealthState::failed;
    case PublisherState::closed:
      return HealthState::closed;
    case PublisherState::disconnected:
      return HealthState::disconnected;
    case PublisherState::dead:
      return HealthState::dead;
  }
  return HealthState::none;
}

HealthState to_health(TopicState state) {
  switch (state) {
    case TopicState::ok:
      return HealthState::ok;
    case TopicState::disk_stalled:
      return HealthState::disk_stalled;
    case TopicState::failed:
      return HealthState::failed;
  }
  return HealthState::none;
}

bool is_name(const std::string& text) {
  return !text.empty() && text.size() <= limits::publisher_name_size_max &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
         });
}

}  // namespace

Core::Core(const Config& config, std::vector<std::unique_ptr<Topic>>& topics, Disk& disk, control::Server server,
           SegmentFds segment, const Clock& clock)
    : config_(config),
      topics_(topics),
      disk_(disk),
      server_(std::move(server)),
      segment_(segment),
      clock_(clock),
      started_(clock.monotonic()),
      topic_states_(topics.size(), TopicState::ok),
      topic_reasons_(topics.size()),
      health_(clock) {
  open_health();
  health_.add(
      {HealthSubject::core, std::string(own_name), "", HealthState::none, HealthState::healthy, HealthReason::started});
}

std::uint64_t Core::do_work(MonotonicTime now) {
  std::uint64_t work = 0;
  for (const auto& topic : topics_) work += topic->do_work();
  if (now - served_ >= serve_interval) {
    served_ = now;
    work += server_.do_work(now, *this);
    while (const auto admitted = disk_.take_admitted()) {
      on_admitted(*admitted);
      ++work;
    }
  }
  if (now - watched_ >= watch_interval) {
    watched_ = now;
    watch(now);
  }
  return work;
}

void Core::on_close() {
  health_.add({HealthSubject::core, std::string(own_name), "", HealthState::healthy, HealthState::closed,
               HealthReason::said_goodbye});
  server_.send_all(control::make_message(control::StoppingT{}));
}

std::optional<std::size_t> Core::find_topic(const std::string& name) const {
  for (std::size_t i = 0; i < topics_.size(); ++i) {
    if (topics_[i]->config().name == name) return i;
  }
  return std::nullopt;
}

Result<std::size_t> Core::topic_or_error(const std::string& name) const {
  if (const auto index = find_topic(name)) return *index;
  std::string known;
  for (const auto& topic : topics_) known += (known.empty() ? "" : ", ") + topic->config().name;
  return fail(ErrorCode::not_found, "no topic '" + name + "'; the configuration has: " + known);
}

// The core is a publisher like others: its epoch is on the disk before it writes.
void Core::open_health() {
  const auto topic = find_topic(std::string(health_topic));
  if (!topic) return;
  Stream& stream = topics_[*topic]->streams()[0];
  stream.owner.phase = Owner::Phase::admitting;
  stream.owner.name = own_name;
  stream.owner.incarnation = incarnation_;
  admitting_[health_token] = {0, 0, *topic, 0, std::string(own_name), incarnation_};
  disk_.submit({health_token, *topic, 0, stream.pages->first_page(), std::string(own_name), incarnation_});
}

void Core::on_hello(const control::Client& client, std::uint64_t correlation) {
  control::WelcomeT welcome;
  welcome.protocol_version = control::protocol_version;
  welcome.core_incarnation = std::make_unique<control::Uuid>(control::to_wire(incarnation_));
  for (const auto& topic : topics_) {
    auto info = std::make_unique<control::TopicInfoT>();
    const schemas::EventType& type = topic->type();
    info->name = topic->config().name;
    info->event_type = static_cast<std::uint16_t>(type.id());
    info->type_name = type.name();
    if (type.id() >= schemas::first_user_event_type) {
      const auto* bytes = reinterpret_cast<const std::uint8_t*>(type.bfbs().data());
      info->bfbs.assign(bytes, bytes + type.bfbs().size());
    }
    info->root = type.root();
    info->key_field = type.key_field();
    info->page_bytes = static_cast<std::uint32_t>(topic->config().page_bytes);
    info->publishers = topic->config().publishers;
    info->stall_policy = static_cast<control::StallPolicy>(topic->config().stall_policy);
    info->log_folder = topic->log_folder();
    welcome.topics.push_back(std::move(info));
  }
  server_.send(client.id, control::make_message(std::move(welcome), correlation));
}

void Core::on_message(const control::Client& client, const control::MessageT& message) {
  const std::uint64_t correlation = message.correlation;
  switch (message.body.type) {
    case control::Body::AttachPublisher:
      return attach_publisher(client, correlation, *message.body.AsAttachPublisher());
    case control::Body::AttachSubscriber:
      return attach_subscriber(client, correlation, *message.body.AsAttachSubscriber());
    case control::Body::DetachSubscriber:
      for (const auto& topic : topics_) {
        const auto& subscriptions = topic->subscriptions();
        const auto it = subscriptions.find(message.body.AsDetachSubscriber()->subscription_id);
        if (it != subscriptions.end() && it->second.client == client.incarnation) topic->unsubscribe(it->first);
      }
      return;
    case control::Body::DetachPublisher: {
      const auto topic = find_topic(message.body.AsDetachPublisher()->topic);
      if (!topic) return;
      for (std::size_t i = 0; i < topics_[*topic]->streams().size(); ++i) {
        const Owner& owner = topics_[*topic]->streams()[i].owner;
        if (owner.phase == Owner::Phase::writing && owner.incarnation == client.incarnation &&
            owner.name == message.body.AsDetachPublisher()->publisher_name) {
          release(*topic, i, PublisherState::closed, HealthReason::said_goodbye);
        }
      }
      return;
    }
    case control::Body::GetStatus:
      return server_.send(client.id, control::make_message(status(), correlation));
    default:
      return answer_error(client.id, correlation,
                          {ErrorCode::invalid_argument, "a client does not send this kind of message"});
  }
}

Status Core::may_publish(const control::Client& client, const TopicConfig& topic, const std::string& name) const {
  if (topic.name == health_topic) {
    return fail(ErrorCode::not_permitted, "only the core publishes on " + std::string(health_topic));
  }
  if (!is_name(name)) {
    return fail(ErrorCode::invalid_argument, "a publisher's name has 1 to " +
                                                 std::to_string(limits::publisher_name_size_max) +
                                                 " of a-z 0-9 _ - . ; this is '" + name + "'");
  }
  if (topic.writers.allow(client.peer)) return {};
  return fail(ErrorCode::not_permitted, "user " + std::to_string(client.peer.uid) + " may not publish on '" +
                                            topic.name + "': its `writers` are " + topic.writers.names());
}

void Core::attach_publisher(const control::Client& client, std::uint64_t correlation,
                            const control::AttachPublisherT& request) {
  const auto topic = topic_or_error(request.topic);
  if (!topic) return answer_error(client.id, correlation, topic.error());
  Topic& on = *topics_[*topic];
  if (const Status allowed = may_publish(client, on.config(), request.publisher_name); !allowed) {
    return answer_error(client.id, correlation, allowed.error());
  }
  const auto stream = on.stream_for(request.publisher_name);
  if (!stream) {
    return answer_error(
        client.id, correlation,
        {ErrorCode::exhausted, "topic '" + request.topic + "' already has " + std::to_string(on.config().publishers) +
                                   " publishers: raise its `publishers`"});
  }
  Owner& owner = on.streams()[*stream].owner;
  Request wanted{client.id, correlation, *topic, *stream, request.publisher_name, client.incarnation, {}};
  if (!owner.holds()) return admit(client, std::move(wanted));
  if (owner.phase == Owner::Phase::writing && owner.incarnation == client.incarnation && !owner.connected) {
    // The same process over a new connection; its ring and epoch stand.
    owner.client = client.id;
    owner.connected = true;
    set_state(on, owner, PublisherState::healthy, HealthReason::recovered);
    return answer_attached(wanted, owner, Sequence(), true);
  }
  if (!request.take_over || owner.incarnation == client.incarnation) {
    return answer_in_use(wanted, owner);
  }
  wanted.replaced = owner.incarnation;
  taking_over_.emplace_back(client, std::move(wanted));
  server_.kill(owner.client);  // only death fences: a store cannot be refused
}

void Core::admit(const control::Client& client, Request request) {
  Stream& stream = topics_[request.topic]->streams()[request.stream];
  stream.owner = Owner();
  stream.owner.phase = Owner::Phase::admitting;
  stream.owner.name = request.name;
  stream.owner.client = client.id;
  stream.owner.incarnation = client.incarnation;
  stream.owner.pid = client.peer.pid;
  const std::uint64_t token = next_token_++;
  disk_.submit({token, request.topic, request.stream, stream.pages->first_page(), request.name, client.incarnation});
  admitting_[token] = std::move(request);
}

void Core::on_admitted(const Admitted& admitted) {
  const auto it = admitting_.find(admitted.token);
  if (it == admitting_.end()) return;
  const Request request = std::move(it->second);
  admitting_.erase(it);
  Topic& topic = *topics_[request.topic];
  Stream& stream = topic.streams()[request.stream];
  Owner& owner = stream.owner;
  if (owner.phase != Owner::Phase::admitting || owner.incarnation != request.incarnation) return;  // it died meanwhile
  if (!admitted.result) {
    owner.phase = Owner::Phase::gone;
    return answer_error(request.client, request.correlation, admitted.result.error());
  }
  stream.pages->assign(admitted.result->publisher, admitted.result->epoch);
  owner.phase = Owner::Phase::writing;
  owner.id = admitted.result->publisher;
  owner.epoch = admitted.result->epoch;
  owner.progress_seen = clock_.monotonic();
  if (admitted.token == health_token) {
    return health_.open(stream.pages->ring(), stream.pages->first_page(), *admitted.result);
  }
  health_.add({HealthSubject::publisher, owner.name, topic.config().name, HealthState::none, HealthState::healthy,
               HealthReason::started, static_cast<std::int64_t>(owner.epoch.value())});
  answer_attached(request, owner, admitted.result->last_sequence, false);
}

void Core::answer_attached(const Request& request, const Owner& owner, Sequence last_sequence, bool resumed) {
  Topic& topic = *topics_[request.topic];
  const Stream& stream = topic.streams()[request.stream];
  control::PublisherAttachedT attached;
  attached.publisher_id = owner.id.value();
  attached.epoch = owner.epoch.value();
  attached.stream = static_cast<std::uint32_t>(request.stream);
  attached.first_page = stream.pages->first_page().value();
  attached.last_sequence = last_sequence.value();
  attached.ring_offset = stream.memory.offset;
  attached.ring_bytes = stream.memory.bytes.size();
  attached.stall_policy = static_cast<control::StallPolicy>(topic.config().stall_policy);
  attached.resumed = resumed;
  const std::array<int, 2> fds{segment_.read_write, topic.marks_fd()};
  server_.send(request.client, control::make_message(std::move(attached), request.correlation), fds);
}

void Core::answer_error(control::ClientId client, std::uint64_t correlation, const Error& error) {
  server_.send(client, control::make_error(error, correlation));
}

void Core::answer_in_use(const Request& request, const Owner& owner) {
  answer_error(
      request.client, request.correlation,
      {ErrorCode::in_use, "publisher '" + request.name + "' of topic '" + topics_[request.topic]->config().name +
                              "' is held by process " + std::to_string(owner.pid) + ": end it, or take over"});
}

void Core::attach_subscriber(const control::Client& client, std::uint64_t correlation,
                             const control::AttachSubscriberT& request) {
  const auto index = topic_or_error(request.topic);
  if (!index) return answer_error(client.id, correlation, index.error());
  Topic& topic = *topics_[*index];
  const std::uint64_t id = next_subscription_++;
  Subscription subscription;
  subscription.client = client.incarnation;
  subscription.name = client.name;
  subscription.pid = client.peer.pid;
  subscription.level = static_cast<Level>(request.level);
  if (const Status status = topic.subscribe(id, std::move(subscription)); !status) {
    return answer_error(client.id, correlation, status.error());
  }
  control::SubscriberAttachedT attached;
  attached.subscription_id = id;
  for (const Stream& stream : topic.streams()) {
    auto place = std::make_unique<control::RingPlaceT>();
    place->offset = stream.memory.offset;
    place->bytes = stream.memory.bytes.size();
    attached.rings.push_back(std::move(place));
  }
  attached.order_bytes = topic.order_bytes();
  attached.log_folder = topic.log_folder();
  attached.log_id = std::make_unique<control::Uuid>(control::to_wire(topic.log_id()));
  attached.run = topic.run().value();
  const std::array<int, 4> fds{segment_.read_only, topic.order_fd(), topic.marks_fd(),
                               topic.subscriptions().at(id).fd.get()};
  server_.send(client.id, control::make_message(std::move(attached), correlation), fds);
}

bool Core::on_disconnected(const control::Client& client) {
  // What it asked for would be given to nobody, and kept from everybody.
  std::erase_if(taking_over_, [&](const auto& waiting) { return waiting.first.id == client.id; });
  bool holds = false;
  for (const auto& topic : topics_) {
    for (Stream& stream : topic->streams()) {
      Owner& owner = stream.owner;
      if (!owner.holds() || owner.incarnation != client.incarnation) continue;
      holds = true;
      if (owner.client != client.id) continue;  // it is back over another connection
      owner.connected = false;
      if (owner.phase == Owner::Phase::writing) {
        set_state(*topic, owner, PublisherState::disconnected, HealthReason::connection_lost);
      }
    }
    for (const auto& [id, subscription] : topic->subscriptions()) holds |= subscription.client == client.incarnation;
  }
  return holds;
}

void Core::on_dead(const control::Client& client) {
  for (std::size_t t = 0; t < topics_.size(); ++t) {
    std::vector<Stream>& streams = topics_[t]->streams();
    for (std::size_t s = 0; s < streams.size(); ++s) {
      Owner& owner = streams[s].owner;
      if (owner.incarnation != client.incarnation) continue;
      if (owner.phase == Owner::Phase::admitting) owner.phase = Owner::Phase::gone;
      if (owner.phase == Owner::Phase::writing) release(t, s, PublisherState::dead, HealthReason::process_ended);
    }
    topics_[t]->unsubscribe_all(client.incarnation);
  }
  for (auto it = taking_over_.begin(); it != taking_over_.end();) {
    const Owner& owner = topics_[it->second.topic]->streams()[it->second.stream].owner;
    if (!owner.holds()) {
      admit(it->first, std::move(it->second));
    } else if (owner.incarnation != it->second.replaced) {
      answer_in_use(it->second, owner);  // somebody else who took over was first
    } else {
      ++it;
      continue;
    }
    it = taking_over_.erase(it);
  }
}

// Its last page is closed where its commits end; the disk records what is in it before anybody else is admitted.
void Core::release(std::size_t topic, std::size_t stream, PublisherState state, HealthReason reason) {
  Stream& released = topics_[topic]->streams()[stream];
  released.pages->close();
  released.owner.phase = Owner::Phase::gone;
  const auto& marks = topics_[topic]->marks().streams[stream];
  set_state(*topics_[topic], released.owner, state, reason,
            static_cast<std::int64_t>(marks.recorded_sequence.load(std::memory_order_relaxed)));
}

void Core::set_state(Topic& topic, Owner& owner, PublisherState state, HealthReason reason, std::int64_t number) {
  if (owner.state == state) return;
  health_.add({HealthSubject::publisher, owner.name, topic.config().name, to_health(owner.state), to_health(state),
               reason, number});
  owner.state = state;
}

void Core::watch(MonotonicTime now) {
  for (std::size_t i = 0; i < topics_.size(); ++i) {
    const RecorderReport report = disk_.report(i);
    watch_topic(i, report, now);
    for (std::size_t s = 0; s < topics_[i]->streams().size(); ++s) watch_publisher(*topics_[i], s, report, now);
  }
}

void Core::watch_topic(std::size_t index, const RecorderReport& report, MonotonicTime now) {
  TopicState state = TopicState::ok;
  HealthReason why = HealthReason::recovered;
  std::string reason;
  const auto in_io = disk_.in_io_since();
  if (report.state == TopicRecorder::State::failed) {
    state = TopicState::failed;
    why = HealthReason::disk_failed;
    reason = report.failure;
  } else if (report.state == TopicRecorder::State::no_space) {
    state = TopicState::disk_stalled;
    why = HealthReason::no_space;
    reason = report.failure;
  } else if (in_io && now - *in_io > config_.heartbeat_interval) {
    state = TopicState::disk_stalled;
    why = HealthReason::disk_slow;
    reason = "one disk operation has taken " + std::to_string((now - *in_io) / 1ms) + " ms so far";
  }
  if (state != topic_states_[index]) {
    health_.add({HealthSubject::topic, topics_[index]->config().name, topics_[index]->config().name,
                 to_health(topic_states_[index]), to_health(state), why});
  }
  topic_states_[index] = state;
  topic_reasons_[index] = reason;
}

// What shows life is a word that the publisher bumps, or events of its own: a process that hangs has neither.
void Core::watch_publisher(Topic& topic, std::size_t stream, const RecorderReport& report, MonotonicTime now) {
  Owner& owner = topic.streams()[stream].owner;
  if (owner.phase != Owner::Phase::writing || owner.incarnation == incarnation_) return;
  if (stream < report.stopped.size() && !report.stopped[stream].empty()) {
    if (owner.state == PublisherState::failed) return;
    owner.reason = report.stopped[stream];
    set_state(topic, owner, PublisherState::failed, HealthReason::checksum_mismatch);
    control::PublisherStoppedT stopped;
    stopped.topic = topic.config().name;
    stopped.publisher_name = owner.name;
    stopped.reason = owner.reason;
    return server_.send(owner.client, control::make_message(std::move(stopped)));
  }
  const std::uint64_t progress =
      topic.streams()[stream].pages->ring().header().publisher.progress.load(std::memory_order_relaxed) +
      topic.marks().streams[stream].recorded_sequence.load(std::memory_order_relaxed);
  if (progress != owner.progress) {
    owner.progress = progress;
    owner.progress_seen = now;
    owner.reason.clear();
    if (owner.connected) set_state(topic, owner, PublisherState::healthy, HealthReason::recovered);
    return;
  }
  const auto silent = now - owner.progress_seen;
  if (!owner.connected || silent <= config_.heartbeat_timeout) return;
  owner.reason = "no progress for " + std::to_string(silent / 1ms) + " ms";
  set_state(topic, owner, silent > 2 * config_.heartbeat_timeout ? PublisherState::failed : PublisherState::degraded,
            HealthReason::no_progress, silent.count());
}

control::StatusReportT Core::status() const {
  control::StatusReportT report;
  report.pid = ::getpid();
  report.run_seconds = static_cast<std::uint64_t>((clock_.monotonic() - started_) / 1s);
  report.shared_bytes = segment_.bytes;
  report.clients = static_cast<std::uint32_t>(server_.connected());
  report.rejected_messages = server_.counters().rejected_messages;
  for (std::size_t i = 0; i < topics_.size(); ++i) {
    Topic& topic = *topics_[i];
    const RecorderReport recorder = disk_.report(i);
    auto out = std::make_unique<control::TopicStatusT>();
    out->name = topic.config().name;
    out->state = topic_states_[i];
    out->reason = topic_reasons_[i];
    out->first_offset = recorder.first_offset.value();
    out->recorded_end = topic.marks().topic.recorded_end.load(std::memory_order_acquire);
    out->synced_end = topic.marks().topic.synced_end.load(std::memory_order_acquire);
    out->record_time = static_cast<std::int64_t>(topic.marks().topic.record_time.load(std::memory_order_relaxed));
    out->events = recorder.counters.events;
    out->bytes = recorder.counters.bytes;
    out->not_recorded = recorder.counters.not_recorded;
    if (out->state != TopicState::ok) report.reasons.push_back("topic " + out->name + ": " + out->reason);
    for (std::size_t s = 0; s < topic.streams().size(); ++s) {
      const Owner& owner = topic.streams()[s].owner;
      out->ring_bytes += topic.streams()[s].memory.bytes.size();
      if (owner.phase == Owner::Phase::none) continue;
      auto publisher = std::make_unique<control::PublisherStatusT>();
      publisher->name = owner.name;
      publisher->id = owner.id.value();
      publisher->epoch = owner.epoch.value();
      publisher->pid = owner.pid;
      publisher->state = owner.state;
      publisher->reason = owner.reason;
      publisher->last_sequence = topic.marks().streams[s].recorded_sequence.load(std::memory_order_relaxed);
      if (owner.state == PublisherState::degraded || owner.state == PublisherState::failed) {
        report.reasons.push_back("publisher " + owner.name + " of " + out->name + ": " + owner.reason);
      }
      out->publishers.push_back(std::move(publisher));
    }
    for (const auto& [id, subscription] : topic.subscriptions()) {
      auto subscriber = std::make_unique<control::SubscriberStatusT>();
      subscriber->name = subscription.name;
      subscriber->pid = subscription.pid;
      subscriber->level = static_cast<control::Level>(subscription.level);
      if (subscription.level != Level::live) {
        const std::uint64_t position = subscription.words().state.position.load(std::memory_order_relaxed);
        subscriber->lag = out->recorded_end - std::min(out->recorded_end, position);
      }
      out->subscribers.push_back(std::move(subscriber));
    }
    report.topics.push_back(std::move(out));
  }
  return report;
}

}  // namespace millrace::daemon
